"""Clients that stall, lie about lengths or leave in the middle: they leave nothing behind and block nobody."""

import asyncio
import hashlib
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from localhub_server import TOKEN, Server

from pipelines.localhub import app, routes
from pipelines.localhub.app import App
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import tokens

NewRepo = Callable[..., str]
CONTENT = b"x" * (3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HEADER = b'{"key": "header", "value": {"summary": "x"}}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One, and not one for each way of the clients to upload, which does not matter here."""
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


def upload_link(server: Server, repo: str, size: int = len(CONTENT)) -> str:
    with server.http() as http:
        batch = {"operation": "upload", "objects": [{"oid": SHA256, "size": size}]}
        rows = http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).json()["objects"]
    return rows[0]["actions"]["upload"]["href"].removeprefix(server.url)


@contextmanager
def half_sent(server: Server, method: str, target: str, length: str, body: bytes) -> Iterator[socket.socket]:
    """A connection on which a request has begun; whoever leaves this hangs up."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        yield connection


def eventually(server: Server, holds: Callable[[], bool]) -> bool:
    """Asked between answers of the server, each of which gives it a turn to notice who has left."""
    with server.http() as http:
        return any(holds() for _ in range(2000) if http.get("/api/whoami-v2").raise_for_status())


def aside(server: Server) -> list[Path]:
    return list((server.data / "tmp").iterdir())


@pytest.mark.parametrize("length", [f"Content-Length: {len(CONTENT)}", "Transfer-Encoding: chunked"])
def test_an_upload_that_breaks_off_leaves_nothing_behind(server: Server, new_repo: NewRepo, length: str) -> None:
    repo = new_repo()
    body = CONTENT[: 2 << 20] if "Content" in length else b"%x\r\n%s\r\n" % (2 << 20, CONTENT[: 2 << 20])
    with half_sent(server, "PUT", upload_link(server, repo), length, body):
        assert eventually(server, lambda: bool(aside(server)))
    assert eventually(server, lambda: not aside(server))
    assert not list((server.data / "lfs").rglob(SHA256))


def test_a_commit_that_breaks_off_changes_nothing(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    head = server.api.model_info(repo).sha
    line = b'{"key": "file", "value": {"path": "a.txt", "content": ""}}\n'
    with half_sent(server, "POST", f"/api/models/{repo}/commit/main", "Content-Length: 9999", HEADER + line):
        pass
    assert eventually(server, lambda: not aside(server))
    assert server.api.model_info(repo).sha == head


@pytest.mark.parametrize(
    ("length", "body"),
    [
        ("Transfer-Encoding: chunked", b"zz\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"2\r\nabcdef\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"-3\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("Content-Length: -1", b"abc"),
        ("Content-Length: 3\r\nContent-Length: 5", b"abcde"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    ],
)
def test_a_body_whose_lengths_disagree_is_no_request(
    server: Server, new_repo: NewRepo, length: str, body: bytes
) -> None:
    """Nor does its rest become a second request."""
    with half_sent(server, "POST", f"/api/models/{new_repo()}/commit/main", length, body) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.count(b"HTTP/1.1") <= 1
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert eventually(server, lambda: not aside(server))


def test_forty_clients_that_stall_keep_nobody_waiting(server: Server, new_repo: NewRepo) -> None:
    """More than there are threads, in the middle of commits, uploads, small bodies and answers."""
    repo = new_repo()
    link = upload_link(server, repo)
    with ExitStack() as stalled:
        for _ in range(10):
            for method, target, body in (
                ("POST", f"/api/models/{repo}/commit/main", HEADER),
                ("PUT", link, b"x"),
                ("POST", "/api/repos/create", b"{"),
                ("POST", f"/api/models/{repo}/discussions", b"{"),
            ):
                stalled.enter_context(half_sent(server, method, target, f"Content-Length: {len(CONTENT)}", body))
        server.api.upload_file(repo_id=repo, path_or_fileobj=b"quick", path_in_repo="a.txt")
        with server.http() as http:
            assert http.get(f"/{repo}/resolve/main/a.txt").content == b"quick"
    assert eventually(server, lambda: not aside(server))


# --- what a client cannot bring about on purpose: asked of the application itself


def ask(application: App, target: str, body: list[bytes], token: str = "") -> tuple[int, bytes]:
    """One request; after the last piece of its body nothing comes any more."""
    pieces = iter(body)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())][: 2 if token else 1]
    scope = {
        "type": "http", "method": "POST", "path": target, "raw_path": target.encode(), "query_string": b"",
        "headers": headers, "scheme": "http", "server": ("localhost", 80), "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(application(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    made = Hub(tmp_path)
    with made.db.write() as db:
        tokens.name_token(db, TOKEN, "tester")
    return made


@pytest.mark.parametrize("target", ["/api/repos/create", "/api/models/a/b/commit/main"])
def test_a_client_that_stalls_for_too_long_is_told_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    monkeypatch.setattr(app, "STALL_SECONDS", 0.01)
    status, _ = ask(App(hub, None), target, [b"{"], TOKEN)
    assert status == 408
    assert not list((tmp_path / "tmp").iterdir())


def test_what_no_one_expected_is_a_500_that_tells_the_log_and_not_the_client(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> None:
        raise KeyError("a secret of ours")

    monkeypatch.setattr(routes, "match", lambda method, path: (broken, {}))
    with caplog.at_level(logging.ERROR):
        status, body = ask(App(hub, None), "/any\nthing", [])
    assert (status, body) == (500, b'{"error":"Internal error"}')
    (record,) = caplog.records
    assert record.getMessage() == "POST '/any\\nthing' failed"
    assert "a secret of ours" in caplog.text
