"""Downloads as the client keeps them: cached by ETag, whole snapshots, without a network, verified."""

import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_hf_file_metadata, hf_hub_url
from localhub_server import Server

NewRepo = Callable[..., str]
Client = Callable[..., str]
pytestmark = pytest.mark.any_hub
FILES = {"a.txt": b"a", "b/c.bin": b"large", "b/d.txt": b"d"}


@pytest.fixture
def repo(api: HfApi, new_repo: NewRepo) -> str:
    """A data set with FILES, tagged v1, whose a.txt has changed since."""
    repo = new_repo(repo_type="dataset")
    operations = [CommitOperationAdd(path, content) for path, content in FILES.items()]
    api.create_commit(repo, operations, commit_message="one", repo_type="dataset")
    api.create_tag(repo, tag="v1", repo_type="dataset")
    api.upload_file(repo_id=repo, repo_type="dataset", path_or_fileobj=b"changed", path_in_repo="a.txt")
    return repo


def contents(folder: str) -> dict[str, bytes]:
    found = {str(file.relative_to(folder)): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}
    return {path: content for path, content in found.items() if not path.startswith((".cache", ".gitattributes"))}


def test_what_has_not_changed_is_kept_once_and_not_fetched_again(api: HfApi, repo: str, tmp_path: Path) -> None:
    def fetch(revision: str) -> Path:
        how = {"repo_type": "dataset", "cache_dir": tmp_path, "revision": revision}
        return Path(api.hf_hub_download(repo, "b/c.bin", **how))  # type: ignore[arg-type]

    old, new = fetch("v1"), fetch("main")
    assert old != new
    assert old.resolve() == new.resolve()
    blob = new.resolve()
    written = blob.stat().st_mtime_ns
    assert fetch("main").resolve().stat().st_mtime_ns == written
    url = hf_hub_url(repo, "b/c.bin", repo_type="dataset", endpoint=api.endpoint)
    metadata = get_hf_file_metadata(url, token=api.token, endpoint=api.endpoint)
    assert (metadata.etag, metadata.size) == (blob.name, 5)
    assert metadata.commit_hash == api.dataset_info(repo).sha


def test_a_snapshot_is_whole_pinned_and_cached(api: HfApi, repo: str, tmp_path: Path) -> None:
    first = api.dataset_info(repo, revision="v1").sha

    def snapshot(**more: object) -> str:
        return api.snapshot_download(repo, repo_type="dataset", cache_dir=tmp_path, **more)  # type: ignore[arg-type]

    assert Path(snapshot(revision="v1")).name == first
    assert contents(snapshot(revision="v1")) == FILES
    assert contents(snapshot()) == {**FILES, "a.txt": b"changed"}
    assert contents(snapshot(revision=first, local_files_only=True)) == FILES


def test_a_snapshot_can_be_a_part_and_go_to_a_folder(api: HfApi, repo: str, tmp_path: Path) -> None:
    def snapshot(name: str, **more: object) -> dict[str, bytes]:
        folder = tmp_path / name
        return contents(api.snapshot_download(repo, repo_type="dataset", local_dir=folder, **more))  # type: ignore[arg-type]

    assert snapshot("allow", allow_patterns="b/*", revision="v1").keys() == {"b/c.bin", "b/d.txt"}
    assert snapshot("ignore", ignore_patterns=["*.bin", "a.*"]).keys() == {"b/d.txt"}
    assert snapshot("both", allow_patterns="b/*", ignore_patterns="*.txt").keys() == {"b/c.bin"}
    assert snapshot("whole", revision="v1") == FILES
    (tmp_path / "whole/b/d.txt").unlink()
    assert snapshot("whole") == {**FILES, "a.txt": b"changed"}


def test_what_was_fetched_is_there_offline_and_the_rest_is_missed(client: Client, repo: str) -> None:
    fetch = "import sys, huggingface_hub as hub; hub.hf_hub_download(sys.argv[1], 'a.txt', repo_type='dataset')"
    client(fetch, repo)
    client(
        """
        import sys
        from pathlib import Path
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

        repo = sys.argv[1]
        assert Path(hf_hub_download(repo, "a.txt", repo_type="dataset")).read_text() == "changed"
        try:
            hf_hub_download(repo, "b/d.txt", repo_type="dataset")
            raise SystemExit("a file came from nowhere")
        except LocalEntryNotFoundError:
            pass
        try:
            HfApi().dataset_info(repo)
            raise SystemExit("a request was made")
        except OfflineModeIsEnabled:
            pass
        """,
        repo,
        HF_HUB_OFFLINE="1",
    )


def test_checksums_tell_the_right_file_from_the_wrong_one(api: HfApi, repo: str, tmp_path: Path) -> None:
    def verify() -> list[str]:
        found = api.verify_repo_checksums(repo, repo_type="dataset", local_dir=tmp_path)
        assert found.checked_count == 4
        assert (found.missing_paths, found.extra_paths) == ([], [])
        return sorted(mismatch["path"] for mismatch in found.mismatches)

    api.snapshot_download(repo, repo_type="dataset", local_dir=tmp_path)
    assert verify() == []
    (tmp_path / "a.txt").write_bytes(b"chAnged")
    (tmp_path / "b/c.bin").write_bytes(b"lArge")
    assert verify() == ["a.txt", "b/c.bin"]


class Relay(ThreadingHTTPServer):
    """Passes requests on to a Hub, and drops the connection once in the middle of a file."""

    def __init__(self, hub: str, after: int) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.hub = hub
        self.after: int | None = after
        self.ranges: list[str | None] = []


class Passing(BaseHTTPRequestHandler):
    server: Relay

    def do_HEAD(self) -> None:
        self.pass_on()

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        self.pass_on()

    def pass_on(self) -> None:
        answer = httpx2.request(self.command, self.server.hub + self.path, headers=dict(self.headers), timeout=30)
        self.send_response_only(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        whole = self.server.after is None or self.command == "HEAD"
        self.wfile.write(answer.content if whole else answer.content[: self.server.after])
        if not whole:
            self.server.after = None
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """The test tells what went wrong."""


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    running = Relay(server.url, after=constants.DOWNLOAD_CHUNK_SIZE * 3 // 2)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.embedded_only("a relay stands between the client and our server")
def test_a_broken_download_goes_on_where_it_broke(api: HfApi, new_repo: NewRepo, relay: Relay, tmp_path: Path) -> None:
    repo = new_repo()
    content = random.Random(0).randbytes(constants.DOWNLOAD_CHUNK_SIZE * 2)  # noqa: S311 - content, not a secret
    api.upload_file(repo_id=repo, path_or_fileobj=content, path_in_repo="w.bin")
    through = HfApi(endpoint=f"http://127.0.0.1:{relay.server_port}", token=api.token)
    assert Path(through.hf_hub_download(repo, "w.bin", cache_dir=tmp_path)).read_bytes() == content
    assert relay.ranges == [None, f"bytes={constants.DOWNLOAD_CHUNK_SIZE}-"]  # it keeps whole pieces


def test_a_range_beyond_the_end_is_refused(api: HfApi, repo: str) -> None:
    url = hf_hub_url(repo, "b/c.bin", repo_type="dataset", endpoint=api.endpoint)
    headers = {"Authorization": f"Bearer {api.token}", "Range": "bytes=5-"}
    answer = httpx2.get(url, headers=headers, follow_redirects=True)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */5")
    answer = httpx2.get(url, headers={**headers, "Range": "bytes=1-2"}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (206, b"ar")
