"""Every place where a name goes in: none leads out of the repo, of the data folder, or to another's thing."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from localhub_server import Server

NewRepo = Callable[..., str]
HOSTILE = [
    *("..", ".", "...", ". .", "../x", "a/../../x", "a/./x", "/etc/passwd", "//x", "a//x", "a/", "C:/x", "c:x"),
    *("..\\x", "a\\..\\x", "\\\\host\\x", "a\0b", "a\nb", "a\rb", "a\x1bb", "a\x7fb"),
    *(".git", ".git/config", "a/.GIT/config", ".Git.", ".git ", "git~1/config", ".g\u200cit/config", ".g\u200dit"),
    *("．．/x", "‥/x", "․․/x", "．git/config", ".ｇｉｔ/config"),
    *("x" * 256, "я" * 128, "a/" * 100 + "x", "x/" * 50 + "y" * 999),
]
REFS = [
    *("..", "a/../b", "a..b", ".a", "a/.b", "/a", "a/", "a//b", "a.lock", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b"),
    *("a\\b", "a@{1}", "a\x1b", "refs/heads/x", "0" * 40, "x" * 201, "", "a\u202eb", "a\u200bb"),
]
HARMLESS = [
    "a..b",
    "..a",
    "a. b",
    ".github/x",
    "git",
    "A／B",
    "é",
    "e\u0301",
    "ﬁ",
    "Ünïcødé/日本語",
    "%2e%2e/x",
    "ab:c",
    "-x",
    "~",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One, and not one for each way of the clients to upload, which does not matter here."""
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


def lines(*operations: tuple[str, dict[str, object]]) -> str:
    rows = [("header", {"summary": "x"}), *operations]
    return "\n".join(json.dumps({"key": key, "value": value}) for key, value in rows)


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_could_lead_out_of_a_folder_on_any_system_is_refused(server: Server, path: str) -> None:
    server.api.create_repo("names/hostile", exist_ok=True)
    head = server.api.model_info("names/hostile").sha
    with server.http() as http:
        for operation in (
            ("file", {"path": path, "content": ""}),
            ("lfsFile", {"path": path, "algo": "sha256", "oid": "0" * 64, "size": 1}),
            ("deletedFile", {"path": path}),
            ("deletedFolder", {"path": path}),
        ):
            answer = http.post("/api/models/names/hostile/commit/main", content=lines(operation))
            assert answer.status_code == (404 if operation[0] == "deletedFolder" and path == "a/" else 400), operation
        asked = {"files": [{"path": path, "size": 1, "sample": ""}]}
        assert http.post("/api/models/names/hostile/preupload/main", json=asked).status_code == 400
    assert server.api.model_info("names/hostile").sha == head


def test_a_harmless_path_is_kept_as_it_is_written(server: Server, new_repo: NewRepo) -> None:
    """Names that differ in case, or only to a computer, are different files: each has its own content."""
    repo = new_repo()
    names = [*HARMLESS, "a.txt", "A.txt", "a.TXT"]
    with server.http() as http:
        files = [("file", {"path": name, "content": name}) for name in names]
        assert http.post(f"/api/models/{repo}/commit/main", content=lines(*files)).is_success
        for name in names:
            assert http.get(f"/{repo}/resolve/main/{quote(name, safe='')}").content == name.encode()
    assert {*names, ".gitattributes"} == set(server.api.list_repo_files(repo))


def encodings(name: str) -> set[str]:
    """As it is where an address can hold it, and percent-encoded once, twice and wholly."""
    every = "".join(f"%{byte:02x}" for byte in name.encode())
    return {quote(name), quote(name, safe=""), quote(quote(name, safe=""), safe=""), every, every.replace("%", "%25")}


@pytest.mark.parametrize(
    "name", ["../../hub.sqlite", "..\\..\\hub.sqlite", "/etc/passwd", "..", ".git/config", "．．/x", "a\0b"]
)
def test_no_part_of_an_address_reaches_a_file_of_the_host(server: Server, new_repo: NewRepo, name: str) -> None:
    repo = new_repo()
    with server.http() as http:
        for part in encodings(name):
            for address in (
                f"/{part}",
                f"/{part}/{part}",
                f"/names/{part}/resolve/main/x",
                f"/{repo}/resolve/{part}/.gitattributes",
                f"/{repo}/resolve/main/{part}",
                f"/{repo}/tree/{part}",
                f"/{repo}/commit/{part}",
                f"/api/models/{part}",
                f"/api/models/{part}/{part}",
                f"/api/models/{repo}/revision/{part}",
                f"/api/models/{repo}/tree/main/{part}",
                f"/api/models/{repo}/tree/{part}/x",
                f"/api/models/{repo}/commits/{part}",
                f"/lfs/{part}",
            ):
                # As it stands: the client would take the dots out.
                answer = http.get("/", extensions={"target": address.encode()})
                assert answer.status_code in (400, 404), address
        found = http.post(f"/api/models/{repo}/paths-info/main", data={"paths": [name, quote(name)]})
        assert found.json() == []


@pytest.mark.parametrize("name", REFS)
def test_a_branch_or_tag_that_could_be_taken_for_something_else_is_refused(server: Server, name: str) -> None:
    server.api.create_repo("names/refs", exist_ok=True)
    with server.http() as http:
        assert http.post("/api/models/names/refs/tag/main", json={"tag": name}).status_code == 400
        if name:
            target = f"/api/models/names/refs/branch/{quote(name, safe='')}"
            made = http.post("/", json={}, extensions={"target": target.encode()})
            assert made.status_code == 400
    refs = server.api.list_repo_refs("names/refs")
    assert [branch.name for branch in refs.branches] == ["main"]
    assert not refs.tags


@pytest.mark.parametrize(
    "name", ["..", ".git", "a.git", "a b", "a\0b", "a\\b", "é", "ａ", "a\u200b", "%2e%2e", "x" * 97, ""]
)
def test_a_repo_name_is_plain(server: Server, name: str) -> None:
    server.api.create_repo("names/plain", exist_ok=True)
    with server.http() as http:
        for body in ({"name": name, "organization": "ok"}, {"name": "ok", "organization": name or "."}):
            assert http.post("/api/repos/create", json=body).status_code == 400
        for target in (f"ok/{name}", f"{name}/ok", name):
            body = {"fromRepo": "names/plain", "toRepo": target}
            assert http.post("/api/repos/move", json=body).status_code == 400


def test_two_repos_do_not_differ_in_case_alone(server: Server) -> None:
    """On many systems they would share a folder of the client's cache. Another case is a name like any other."""
    server.api.create_repo("Names/Cased")
    with server.http() as http:
        refused = http.post("/api/repos/create", json={"name": "cased", "organization": "names"})
        assert (refused.status_code, "Names/Cased" in refused.text) == (400, True)
        assert http.get("/api/models/names/cased").status_code == 404
    server.api.create_repo("names/cased", repo_type="dataset")
    server.api.move_repo("Names/Cased", "Names/CASED")
    assert server.api.repo_exists("Names/CASED")
