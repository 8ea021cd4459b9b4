"""Who may do what, and through which door: tokens, private repos, other sites' pages, other users of the machine."""

import inspect
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from localhub_server import Server

from pipelines.commands.hub import hub_command
from pipelines.localhub import hosts
from pipelines.localhub.api import accounts, contents, uploads, xet
from pipelines.localhub.errors import BadRequestError, MisdirectedError
from pipelines.localhub.hub import Hub
from pipelines.localhub.routes import ROUTES, Route
from pipelines.localhub.store import tokens
from pipelines.localhub.store.database import Database

NewRepo = Callable[..., str]
READER = "hf_throwaway_reader"
READING_POSTS = (accounts.validate_yaml, contents.paths_info)
# What these know is no user's token, but a signature that only a writer is given.
SIGNED = {uploads.put_large: 400, xet.put_xorb: 401, xet.put_shard: 401, xet.put_shard_and_hear: 401}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One, and not one for each way of the clients to upload, which does not matter here."""
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


def address(route: Route, repo: str, revision: str = "main") -> str:
    places = {"kind": "models", "repo": repo, "rev": revision, "path": "w.bin", "num": "1", "branch": "main"}
    pattern = route.expression.pattern.replace("(?:(?P<kind>datasets)/)?", "").replace("\\.", ".")
    return re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda place: places.get(place[1], "0" * 64), pattern)


@pytest.fixture(scope="module")
def private(server: Server) -> str:
    """A private repo with a large file and a discussion."""
    server.api.create_repo("secret/repo", private=True)
    server.api.upload_file(repo_id="secret/repo", path_or_fileobj=b"secret", path_in_repo="w.bin")
    server.api.create_discussion("secret/repo", "A secret")
    return "secret/repo"


@pytest.fixture(scope="module")
def reader(server: Server) -> Iterator[httpx2.Client]:
    with Database(server.data / "hub.sqlite").write() as db:
        tokens.name_token(db, READER, "reader", "read")
    with server.http(READER) as http:
        yield http


def test_without_a_write_token_no_address_writes(server: Server, reader: httpx2.Client, private: str) -> None:
    writing = [route for route in ROUTES if "GET" not in route.methods and route.handler not in READING_POSTS]
    writing += [route for route in ROUTES if route.handler is xet.write_token]
    assert len(writing) > 20
    head = server.api.model_info(private).sha
    with server.http(None) as stranger:
        for route in writing:
            expected = (SIGNED[route.handler],) * 2 if route.handler in SIGNED else (403, 401)
            for body in (b"{}", b"no json"):
                asked = [client.request(route.methods[0], address(route, private), content=body).status_code
                         for client in (reader, stranger)]  # fmt: skip
                assert tuple(asked) == expected, route
    assert server.api.model_info(private).sha == head


def test_a_private_repo_looks_to_strangers_as_one_that_is_not_there(server: Server, private: str) -> None:
    """In status, headers and words, whatever is asked; and the head's commit id opens nothing either."""
    naming = [route for route in ROUTES if "repo" in route.expression.groupindex]
    head = server.api.model_info(private).sha
    assert head
    with server.http(None) as stranger:
        for revision in ("main", head):
            for route in naming:
                hidden, missing = (
                    stranger.request(route.methods[0], address(route, repo, revision))
                    for repo in (private, "secret/none")
                )
                assert hidden.status_code == missing.status_code == 401, route
                assert hidden.text == missing.text
                assert {**hidden.headers, "date": ""} == {**missing.headers, "date": ""}
        for listing in ("/", "/api/models", "/api/models?search=secret", "/api/models?author=secret&full=true"):
            assert "secret/repo" not in stranger.get(listing).text


def test_every_token_of_a_hub_sees_its_private_repos(reader: httpx2.Client, private: str) -> None:
    """A Hub has one circle of users: what is private is so to those without a token."""
    assert reader.get(f"/{private}/resolve/main/w.bin").content == b"secret"


def test_a_known_sha256_opens_and_claims_nothing_without_a_token(server: Server, private: str) -> None:
    sha256 = server.api.get_paths_info(private, "w.bin")[0].lfs.sha256  # type: ignore[union-attr]
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": 6}]}
    with server.http(None) as stranger:
        assert stranger.get(f"/lfs/{sha256}").status_code == 401
        assert (
            stranger.put(f"/lfs/{sha256}?size=6&expires=9999999999&signature=0", content=b"secret").status_code == 403
        )
        assert stranger.post("/any/repo.git/info/lfs/objects/batch", json=batch).status_code == 401
        assert stranger.post(f"/{private}.git/info/lfs/objects/batch", json=batch).status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_another_sites_page_gets_no_permission_from_us(server: Server, new_repo: NewRepo, origin: str) -> None:
    """No answer allows cross-origin reading, none sets a cookie, and nothing but a bearer token is a credential."""
    repo = new_repo()
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    with server.http(None) as browser:
        for route in ROUTES:
            for method in ("OPTIONS", *route.methods):
                answer = browser.request(method, address(route, repo), headers=asking)
                assert not [name for name in answer.headers if name.startswith(("access-control", "set-cookie"))]
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        form = {"Origin": origin, "Content-Type": "text/plain", "Cookie": "token=hf_throwaway_writer"}
        assert browser.post("/api/repos/create", headers=form, content=b'{"name": "x"}').status_code == 401
        basic = browser.post("/api/repos/create", auth=("tester", "hf_throwaway_writer"), json={"name": "x"})
        assert basic.status_code == 401
        assert "WWW-Authenticate" not in basic.headers


def test_on_loopback_a_name_that_is_not_ours_is_refused(server: Server) -> None:
    with server.http() as http:
        for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"):
            answer = http.get("/api/models", headers={"Host": name})
            assert answer.status_code == 421, name
        for name in ("localhost", "LocalHost:8790", "127.0.0.1:1", "[::1]:8790"):
            assert http.get("/api/models", headers={"Host": name}).status_code == 200, name
        for name in ("[", "a b", "x@y", "x:y", "/"):
            assert http.get("/api/models", headers={"Host": name}).status_code in (400, 421), name


def test_the_name_a_proxy_passes_on_is_ours_if_we_were_told_to_listen_at_it() -> None:
    """So is every name, once the Hub listens at more than loopback."""
    hosts.check("Hub.example:443", hosts.of("hub.example", "127.0.0.1"))
    hosts.check("hub.example", hosts.of("0.0.0.0", "0.0.0.0"))  # noqa: S104
    hosts.check("hub.example", hosts.of("::", "::"))
    with pytest.raises(MisdirectedError, match="--host other"):
        hosts.check("other.example", hosts.of("hub.example", "127.0.0.1"))
    with pytest.raises(BadRequestError):
        hosts.check("a/b", None)


def test_unless_told_otherwise_the_command_listens_on_loopback() -> None:
    assert inspect.signature(hub_command).parameters["host"].default == "127.0.0.1"


@pytest.mark.parametrize("token", ["", " ", "short", "with space", "two\nlines", "é" * 20])
def test_a_token_that_anyone_could_send_is_refused(tmp_path: Path, token: str) -> None:
    hub = Hub(tmp_path / "hub")
    with pytest.raises(ValueError, match="a token is"), hub.db.write() as db:
        tokens.name_token(db, token, "tester")


def test_nobody_else_on_the_machine_can_read_the_data_folder(tmp_path: Path) -> None:
    server = Server(tmp_path / "hub")
    server.api.create_repo("a/b")
    server.api.upload_file(repo_id="a/b", path_or_fileobj=b"large", path_in_repo="w.bin")
    found = [server.data, *server.data.rglob("*")]
    assert {"hub.sqlite", "hub.sqlite-wal", "lfs", "tmp", "lock"} <= {path.name for path in found}
    readable = stat.S_IRWXG | stat.S_IRWXO
    inside = [path for path in found if path.is_file() or path.parent == server.data or path == server.data]
    assert not [path for path in inside if path.stat().st_mode & readable]
    server.stop()


def test_links_in_the_data_folder_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "host.txt"
    outside.write_bytes(b"of the host")
    server = Server(tmp_path / "hub")
    server.api.create_repo("a/b")
    server.api.upload_file(repo_id="a/b", path_or_fileobj=b"x" * 11, path_in_repo="w.bin")
    (stored,) = [path for path in (server.data / "lfs").rglob("*") if path.is_file()]
    stored.unlink()
    stored.symlink_to(outside)
    with server.http() as http, pytest.raises(httpx2.HTTPError):
        http.get("/a/b/resolve/main/w.bin")
    lines = (
        '{"key": "header", "value": {"summary": "x"}}\n{"key": "lfsFile", "value": {"path": "y.bin", "algo": "sha256",'
    )
    with server.http() as http:
        answer = http.post("/api/models/a/b/commit/main", content=f'{lines} "oid": "{stored.name}"}}}}')
    assert "never uploaded" in answer.headers["X-Error-Message"]
    server.stop()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "hub.sqlite").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        Hub(tmp_path / "other")
    assert outside.read_bytes() == b"of the host"
