"""Contents on their way in and out: large files, ranges, caches, snapshots, links that expire."""

import hashlib
import io
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from localhub_server import Server

from pipelines.localhub.errors import ForbiddenError
from pipelines.localhub.hub import Hub

NewRepo = Callable[..., str]
pytestmark = [pytest.mark.any_hub, pytest.mark.each_transfer]
SIZE = 30 * 1000 * 1000


@pytest.fixture(scope="module")
def large() -> bytes:
    return random.Random(0).randbytes(SIZE)  # noqa: S311 - content, not a secret


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_thirty_megabytes_come_back_as_they_went(api: HfApi, new_repo: NewRepo, tmp_path: Path, large: bytes) -> None:
    repo = new_repo()
    (tmp_path / "w.bin").write_bytes(large)
    api.upload_file(repo_id=repo, path_or_fileobj=tmp_path / "w.bin", path_in_repo="w.bin")
    api.upload_file(repo_id=repo, path_or_fileobj=io.BytesIO(large + b"!"), path_in_repo="from-memory.bin")
    for name, content in (("w.bin", large), ("from-memory.bin", large + b"!")):
        info = api.get_paths_info(repo, name)[0]
        assert info.lfs.sha256 == digest(content)  # type: ignore[union-attr]
        got = Path(api.hf_hub_download(repo, name, cache_dir=tmp_path / "cache"))
        assert digest(got.read_bytes()) == digest(content)


@pytest.mark.embedded_only("it speaks without a client, and large files are elsewhere there")
def test_the_rest_of_a_large_file_can_be_asked_for(
    api: HfApi, new_repo: NewRepo, tmp_path: Path, large: bytes, server: Server
) -> None:
    repo = new_repo()
    api.upload_file(repo_id=repo, path_or_fileobj=large, path_in_repo="w.bin")
    first = Path(api.hf_hub_download(repo, "w.bin", local_dir=tmp_path / "first"))
    with server.http() as http:
        rest = http.get(f"/{repo}/resolve/main/w.bin", headers={"Range": f"bytes={SIZE // 2}-"})
    assert first.read_bytes()[: SIZE // 2] + rest.content == large


@pytest.mark.embedded_only("it speaks without a client, and large files are elsewhere there")
@pytest.mark.parametrize("name", ["small.txt", "large.bin"])
def test_ranges_follow_the_standard(server: Server, new_repo: NewRepo, name: str) -> None:
    repo = new_repo()
    server.api.upload_file(repo_id=repo, path_or_fileobj=b"0123456789", path_in_repo=name)
    with server.http() as http:
        address = f"/{repo}/resolve/main/{name}"
        etag = http.head(address).headers["ETag"]

        def get(**headers: str) -> tuple[int, bytes, str | None]:
            answer = http.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return answer.status_code, answer.content, answer.headers.get("Content-Range")

        assert get(range="bytes=2-4") == (206, b"234", "bytes 2-4/10")
        assert get(range="bytes=7-") == (206, b"789", "bytes 7-9/10")
        assert get(range="bytes=-3") == (206, b"789", "bytes 7-9/10")
        assert get(range="bytes=5-99") == (206, b"56789", "bytes 5-9/10")
        assert get(range="bytes=10-") == (416, b"", "bytes */10")
        assert get(range="bytes=4-2")[0] == 416
        assert get(range="apples=1-2") == (200, b"0123456789", None)
        assert get(range="bytes=2-4", if_range='"other"') == (200, b"0123456789", None)
        assert get(range="bytes=2-4", if_range=etag)[0] == 206
        assert get(if_none_match=etag)[0] == 304


def test_empty_files_and_odd_names_survive(api: HfApi, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    names = ["empty.bin", "empty.txt", "пример #1 50%.txt", "a b/c?d&e=f.txt", "'\"<b>.txt"]
    api.create_commit(repo, [CommitOperationAdd(name, b"") for name in names], commit_message="odd")
    for name in names:
        assert Path(api.hf_hub_download(repo, name, cache_dir=tmp_path)).read_bytes() == b""


@pytest.mark.embedded_only("it attacks the server")
def test_an_upload_link_is_good_for_one_content_and_not_forever(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    content = b"for the link"
    sha256 = digest(content)
    with server.http() as http, server.http(token=None) as stranger:
        batch = {"operation": "upload", "objects": [{"oid": sha256, "size": len(content)}]}
        answer = http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch)
        link = answer.json()["objects"][0]["actions"]["upload"]["href"]
        assert stranger.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).status_code == 401
        query = dict(part.split("=") for part in link.partition("?")[2].split("&"))
        assert time.time() < int(query["expires"]) < time.time() + 86400
        other = "0" * 64
        assert stranger.put(link.replace(sha256, other), content=content).status_code == 403
        assert stranger.put(link.replace("expires=", "expires=9"), content=content).status_code == 403
        assert stranger.put(link.replace(f"size={len(content)}", "size=9999"), content=content).status_code == 403
        assert stranger.put(f"{server.url}/lfs/{sha256}", content=content).status_code == 400
        assert stranger.put(link, content=b"something els").status_code == 400
        assert stranger.put(link, content=content[:-1]).status_code == 400
        assert stranger.put(link, content=content + b"more").status_code == 400
        assert list((server.data / "tmp").iterdir()) == []
        assert stranger.put(link, content=content).status_code == 200
        assert "actions" not in http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).json()["objects"][0]


@pytest.mark.embedded_only("it looks inside the Hub")
def test_an_upload_link_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path)
    query = dict(part.split("=") for part in hub.sign_upload("0" * 64, 5).split("&"))
    arguments = ("0" * 64, 5, int(query["expires"]), query["signature"])
    hub.check_upload(*arguments)
    later = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(ForbiddenError, match="expired"):
        hub.check_upload(*arguments)


@pytest.mark.embedded_only("it attacks the server")
def test_bodies_beyond_their_limit_are_refused(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    with server.http() as http:
        assert http.post("/api/validate-yaml", content=b" " * (17 << 20)).status_code == 413
        line = b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "value": {"content": "'
        body = line + b"A" * (21 << 20) + b'", "path": "x", "encoding": "base64"}}\n'
        assert http.post(f"/api/models/{repo}/commit/main", content=body).status_code == 413


@pytest.mark.embedded_only("it attacks the server")
def test_rubbish_is_the_callers_fault(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    with server.http() as http:
        for method, address in (
            ("POST", "/api/repos/create"),
            ("POST", "/api/repos/move"),
            ("DELETE", "/api/repos/delete"),
            ("POST", "/api/validate-yaml"),
            ("POST", f"/api/models/{repo}/preupload/main"),
            ("POST", f"/api/models/{repo}/commit/main"),
            ("POST", f"/api/models/{repo}/tag/main"),
            ("POST", f"/api/models/{repo}/discussions"),
            ("POST", f"/{repo}.git/info/lfs/objects/batch"),
        ):
            for body in (b"", b"{", b"[]", b"null", b'{"name": 1}', b'{"title": "\\ud800"}', b"\xff\x00"):
                answer = http.request(method, address, content=body)
                assert answer.status_code == 400, (address, body, answer.text)
        for address in ("/%ff", "/%00", f"/{repo}/resolve/main/%ff", "/api/models?limit=x", "/api/models?skip=-"):
            assert http.get(address).status_code in (400, 404)


@pytest.mark.embedded_only("it makes a public file")
def test_a_file_opened_in_a_browser_is_inert(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    server.api.upload_file(repo_id=repo, path_or_fileobj=b"<script>alert(1)</script>", path_in_repo="x.html")
    with server.http(token=None) as http:
        answer = http.get(f"/{repo}/resolve/main/x.html")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_folder_of_more_files_than_one_preupload_holds_goes_up(api: HfApi, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    names = {f"{number % 5}/{number}{end}" for number in range(150) for end in (".txt", ".bin")}
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    api.upload_folder(repo_id=repo, folder_path=tmp_path)
    assert set(api.list_repo_files(repo)) - {".gitattributes"} == names


def test_deleting_what_is_missing_says_so(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    with pytest.raises(HfHubHTTPError) as refused:
        api.delete_folder("missing", repo_id=repo)
    assert refused.value.response.status_code == 404
