"""Almost right requests to every address: whatever they say, it is never our fault, and nothing that was kept suffers.

The suite tries the same few of each. To look for more, for hours if need be:
FUZZ_EXAMPLES=5000 python -m pytest tests/localhub/test_localhub_fuzz.py --timeout 0
"""

import hashlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import fuzzed_requests
import pytest
from fuzzed_requests import LARGE, Granted, Sent
from huggingface_hub import CommitOperationAdd
from hypothesis import HealthCheck, given, settings
from localhub_server import TOKEN, Server

from pipelines.localhub.routes import ROUTES, Route

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
KEPT = {"a.txt": b"small and kept", "w.bin": LARGE, "d/e/f.txt": b"", "t.parquet": b"PAR1"}
REFUSED = "Invalid HTTP request received.\n"  # said by the web server when it refuses what is no HTTP


class Target:
    """A server of its own, where others may delete what they like but `kept/repo`."""

    def __init__(self, data: Path) -> None:
        path = data.with_suffix(".log")
        with path.open("w") as log:
            self.server = Server(data, log=log)
        self._log = path.open()
        self.address = ("127.0.0.1", int(self.server.url.rpartition(":")[2]))
        self.connection = http.client.HTTPConnection(*self.address, timeout=30)
        api = self.server.api
        self.head = self._fill("kept/repo", "model")
        for kind, name in (("model", "fuzz/model"), ("dataset", "fuzz/data"), ("model", "fuzz/gone")):
            self._fill(name, kind)
            api.create_branch(name, branch="feature/x", repo_type=kind)
            api.create_tag(name, tag="v1", repo_type=kind)
            api.create_pull_request(name, "A proposal", repo_type=kind)
            api.create_discussion(name, "A question", repo_type=kind)
        self.granted = self._granted([b"", b"{}"])

    def _fill(self, name: str, kind: str) -> str:
        self.server.api.create_repo(name, repo_type=kind)
        operations = [CommitOperationAdd(path, content) for path, content in KEPT.items()]
        return self.server.api.create_commit(name, operations, commit_message="kept", repo_type=kind).oid

    def _granted(self, contents: list[bytes]) -> Granted:
        objects = [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)} for content in contents]
        with self.server.http() as http_client:
            batch = {"operation": "upload", "objects": objects}
            rows = http_client.post("/fuzz/model.git/info/lfs/objects/batch", json=batch).json()["objects"]
            xet = http_client.get("/api/models/fuzz/model/xet-write-token/main").json()
        links = [row["actions"]["upload"]["href"].removeprefix(self.server.url) for row in rows]
        return Granted(links, xet["casUrl"].rpartition("/")[2], xet["accessToken"])

    def send(self, sent: Sent) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in sent.headers.items()}
        self.connection.request(sent.method, sent.target, sent.body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def suffered(self) -> str:
        """What the server complained of since it was last asked, and what of the kept commit is not as it was."""
        with self.server.http(None) as http_client:
            found = {path: http_client.get(f"/kept/repo/resolve/{self.head}/{path}").content for path in KEPT}
            listed = http_client.get("/api/models/kept/repo").json()
        whole = found == KEPT and listed["sha"] == self.head and self.server.api.whoami()["name"]
        return self._log.read().replace(REFUSED, "") + ("" if whole else f"{found} {listed}")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    running = Target(tmp_path_factory.mktemp("fuzz") / "hub")
    yield running
    running.connection.close()
    running.server.stop()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods[0]} {route.handler.__qualname__}")
def test_no_request_is_our_fault_and_what_was_kept_stays_whole(target: Target, route: Route) -> None:
    @fuzzed
    @given(fuzzed_requests.requests_to(route, target.granted))
    def attempt(sent: Sent) -> None:
        status, headers, body = target.send(sent)
        assert 200 <= status < 500, (sent, body)
        assert headers["X-Content-Type-Options"] == "nosniff"
        if headers["Content-Type"] == "application/json" and body and sent.method != "HEAD":
            json.loads(body)

    attempt()
    assert target.suffered() == ""


REQUEST = (
    b"POST /api/models/fuzz/model/commit/main HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    + TOKEN.encode()
    + b"\r\nTransfer-Encoding: chunked\r\n\r\n2c\r\n"
    + b'{"key": "header", "value": {"summary": "x"}}\r\n0\r\n\r\n'
)


def test_damaged_bytes_are_refused_and_what_was_kept_stays_whole(target: Target) -> None:
    @fuzzed
    @given(fuzzed_requests.damaged(REQUEST))
    def attempt(request: bytes) -> None:
        with socket.create_connection(target.address, timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while received := connection.recv(65536):
                answer += received
        assert b"HTTP/1.1 5" not in answer

    attempt()
    assert target.suffered() == ""
    assert not any((target.server.data / "tmp").iterdir())
