"""HTTP as the doors speak it, against servers and proxies on loopback that send whatever a test tells them to."""

import asyncio
import base64
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pipelines.errors import StageError
from pipelines.llm import connections
from pipelines.llm.addresses import proxy
from pipelines.llm.connections import Connections, Late, Response, Unreadable

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"


@pytest.fixture(autouse=True, params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """*generate* runs on uvloop, all other stages on asyncio's own loop."""
    monkeypatch.setattr(sys.modules[__name__], "run", request.param)


run = asyncio.run
Play = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does on its n-th connection."""


async def read(reader: asyncio.StreamReader) -> bytes:
    """The head of a request; none of the tests sends a body."""
    return await reader.readuntil(b"\r\n\r\n")


def saying(*answers: bytes) -> Play:
    """A server that says on every connection the same, one after the other."""

    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read(reader)
            writer.write(answer)

    return play


def meet(
    play: Play, use: Callable[[Connections], Awaitable[Any]], tls: ssl.SSLContext | None = None, url: str = ""
) -> tuple[Any, int]:
    """What `use` makes of a server that plays so, and how many connections it took."""

    async def met() -> tuple[Any, int]:
        count = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            with suppress(OSError, asyncio.IncompleteReadError):
                await play(count, reader, writer)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
        async with server:
            port = server.sockets[0].getsockname()[1]
            opened = Connections(url or f"{'https' if tls else 'http'}://127.0.0.1:{port}")
            try:
                return await use(opened), count
            finally:
                opened.close()

    return run(met())


async def once(opened: Connections, seconds: float = 5.0) -> Response:
    return await opened.ask(opened.head("GET", "/v1", {}) + b"\r\n", seconds)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - there is no event for what nobody outside needs to know
        await asyncio.sleep(0)


async def twice(opened: Connections) -> list[bytes]:
    return [(await once(opened)).content, (await once(opened)).content]


# --- answers of every form


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nx-queue-time: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ngood",
        b"HTTP/1.0 200 OK\r\n\r\ngood",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + GOOD,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_is_read_in_every_form_and_in_pieces_of_any_size(answer: bytes, size: int) -> None:
    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)

    response, _ = meet(play, once)
    assert (response.status, response.content) == (200, b"good")


def test_names_of_headers_are_in_small_letters() -> None:
    response, _ = meet(saying(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"), once)
    assert (response.status, response.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    "answer", [GOOD[:-1], b"HTTP/1.1 200 OK\r\ncontent-le", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n",
               b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n"]
)  # fmt: skip
def test_an_answer_that_breaks_off_is_a_lost_connection(answer: bytes) -> None:
    with pytest.raises(ConnectionError):
        meet(saying(answer), once)


def test_a_reset_in_the_middle_of_an_answer_is_a_lost_connection() -> None:
    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(GOOD[:-1])
        await writer.drain()
        writer.transport.abort()

    with pytest.raises(ConnectionError):
        meet(play, once)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\ngood",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\ngood",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nrubbish\r\n",
    ],
)
def test_what_is_no_http_is_unreadable(answer: bytes) -> None:
    with pytest.raises(Unreadable):
        meet(saying(answer), once)


@pytest.mark.parametrize("part", [b"x: " + b"y" * 1000 + b"\r\n", b"\r\n" + b"z" * 1000])
def test_neither_head_nor_body_may_fill_the_memory(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LARGEST", 100_000)

    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(part)
            await writer.drain()

    with pytest.raises(Unreadable, match="longer than 100000 bytes"):
        meet(play, once)


def test_a_server_that_sends_byte_after_byte_has_no_more_time_than_another() -> None:
    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(Late, match="no answer within"):
        meet(play, lambda opened: once(opened, 0.2))


def test_a_server_that_takes_no_connection_in_time_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_WITHIN", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        with pytest.raises(Late, match="no connection within"):
            meet(saying(), once, url=f"http://127.0.0.1:{full.getsockname()[1]}")
        for one in waiting:
            one.close()


# --- connections that are used again


def test_a_connection_serves_one_request_after_the_other() -> None:
    assert meet(saying(GOOD, GOOD), twice) == ([b"good", b"good"], 1)


def test_as_many_connections_are_open_as_there_are_requests_under_way() -> None:
    everybody = asyncio.Barrier(20)

    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        await everybody.wait()
        writer.write(GOOD)

    found, count = meet(play, lambda opened: asyncio.gather(*(once(opened) for _ in range(20))))
    assert (len(found), count) == (20, 20)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood",
        b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\ngood",
        GOOD + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
        GOOD + b"rubbish",
    ],
)
def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    assert meet(saying(answer, answer), twice) == ([b"good", b"good"], 2)


def test_an_answer_that_nobody_asked_for_is_nobodys_answer() -> None:
    async def play(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(GOOD)
        if number == 1:
            writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
            assert await reader.read() == b""  # the client hangs up

    async def use(opened: Connections) -> list[bytes]:
        first = (await once(opened)).content
        await until(lambda: not opened._open)
        return [first, (await once(opened)).content]

    assert meet(play, use) == ([b"good", b"good"], 2)


def test_the_answer_to_a_request_that_was_given_up_is_nobodys_answer() -> None:
    async def play(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        if number == 1:
            assert await reader.read() == b""
        writer.write(GOOD)

    async def use(opened: Connections) -> bytes:
        given_up = asyncio.create_task(once(opened))
        await until(lambda: bool(opened._open))
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        return (await once(opened)).content

    assert meet(play, use) == (b"good", 2)


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE", -1.0)
    assert meet(saying(GOOD, GOOD), twice) == ([b"good", b"good"], 2)


def test_a_connection_that_the_server_closed_is_forgotten() -> None:
    async def use(opened: Connections) -> list[bytes]:
        first = (await once(opened)).content
        await until(lambda: not opened._open)
        assert not opened._idle
        return [first, (await once(opened)).content]

    assert meet(saying(GOOD), use) == ([b"good", b"good"], 2)


def test_a_name_is_looked_up_once_for_all_that_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    async def use(there: Connections) -> list[Response]:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def counted(host: Any, *rest: Any, **options: Any) -> Any:
            asked.append(host)
            return await real("127.0.0.1", *rest, **options)

        monkeypatch.setattr(loop, "getaddrinfo", counted)
        opened = Connections(f"http://server.test:{there._server.port}")
        try:
            return await asyncio.gather(*(once(opened) for _ in range(10)))
        finally:
            opened.close()

    assert meet(saying(GOOD), use)[1] == 10
    assert asked.count("server.test") == 1


def test_a_name_that_nobody_knows_is_looked_up_again() -> None:
    async def use(_: Connections) -> None:
        opened = Connections("http://no.such.name.invalid")
        for _ in range(2):
            with pytest.raises(OSError, match=r"."):
                await once(opened)
            assert opened._found is None

    meet(saying(), use)


# --- TLS and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of a server on loopback, signed by itself, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:server.test", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_server_with_a_trusted_certificate_is_asked_over_tls(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    assert meet(saying(GOOD, GOOD), twice, served(certificate)) == ([b"good", b"good"], 1)


def test_a_server_that_nobody_vouches_for_is_sent_nothing(certificate: Path) -> None:
    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it was spoken to")

    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        meet(play, once, served(certificate))


def test_a_proxy_is_asked_for_the_whole_address_and_given_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = list[bytes]()

    async def play(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read(reader))
        writer.write(GOOD)

    async def through(_: Connections) -> bytes:
        server = await asyncio.start_server(lambda reader, writer: play(1, reader, writer), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
            opened = Connections("http://server.test:8000/v1")
            content = (await once(opened)).content
            opened.close()
            return content

    assert meet(saying(), through)[0] == b"good"
    assert heads[0].startswith(b"GET http://server.test:8000/v1/v1 HTTP/1.1\r\nhost: server.test:8000\r\n")
    assert b"proxy-authorization: Basic " + base64.b64encode(b"me:p@ss") in heads[0]


async def tunnelled(monkeypatch: pytest.MonkeyPatch, target: int, answer: bytes) -> tuple[Response, list[bytes]]:
    """An answer over TLS through a proxy that leads every request to `target`, and the heads that the proxy read."""
    heads = list[bytes]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read(reader))
        writer.write(answer)
        if b" 200" in answer:
            there = await asyncio.open_connection("127.0.0.1", target)
            with suppress(OSError):
                await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))
        else:
            writer.close()

    proxying = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with proxying:
        port = proxying.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
        opened = Connections("https://server.test/v1")
        try:
            return await once(opened), heads
        finally:
            opened.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.0 200\r\nvia: x\r\n\r\n"])
def test_a_proxy_only_carries_what_is_said_over_tls(
    answer: bytes, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")

    async def use(opened: Connections) -> tuple[Response, list[bytes]]:
        assert opened._server.port
        return await tunnelled(monkeypatch, opened._server.port, answer)

    (response, heads), _ = meet(saying(GOOD), use, served(certificate))
    assert response.content == b"good"
    told = b"proxy-authorization: Basic " + base64.b64encode(b"me:secret")
    assert heads == [b"CONNECT server.test:443 HTTP/1.1\r\nhost: server.test:443\r\n" + told + b"\r\n\r\n"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required"),
        (b"", "the proxy closed the connection"),
        (b"x" * 100_000, "leads nowhere"),
    ],
)
def test_a_proxy_that_refuses_says_so_without_its_password(
    answer: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match=told) as caught:
        run(tunnelled(monkeypatch, 0, answer))
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_leads_to_others_and_not_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("https_proxy", "proxy:3129")
    monkeypatch.setenv("no_proxy", "inside.example")
    found = [proxy(url) for url in ("http://outside.example/v1", "https://outside.example/v1")]
    assert [one and one.geturl() for one in found] == ["http://proxy:3128", "http://proxy:3129"]
    assert proxy("http://inside.example/v1") is None
    assert proxy("http://127.0.0.1:8000/v1") is None


def test_a_proxy_of_another_kind_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://proxy:1080")
    with pytest.raises(StageError, match=r"https_proxy names a proxy of kind socks5"):
        proxy("https://outside.example/v1")
