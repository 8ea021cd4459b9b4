"""HTTP/1.1 to one server with thousands of requests in flight, each on a connection of its own.

httptools (the parser that uvicorn has) reads, asyncio carries, and little happens in between: a request of a door costs
less than half of what it did through aiohttp (tests/benchmarks/generate.py). Nothing is sent twice or redirected.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pipelines.llm import addresses

CONNECT_WITHIN = 30.0
KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: uvicorn closes it after 5, and a request that meets the closing is lost."""
LOOKED_UP = 10.0
"""Seconds that the addresses of a name are known."""
NEXT_ADDRESS = 0.25
"""Seconds after which the next address is tried beside one that has not answered yet."""
SILENT = 60
"""Seconds without a byte after which TCP asks whether the other end is still there."""
LONGEST_HEAD, LINE = 65_536, 200
"""Bytes of what a proxy says, and of its first line, that are looked at."""
LARGEST = 64 * 2**20
"""Bytes of one answer: no chain is as long, and no server may fill the memory."""


class Late(Exception):
    """No answer in time, or not even a connection."""


class Unreadable(Exception):
    """What came is no HTTP, or longer than an answer may be."""


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Connections:
    """As many as there are requests under way; an idle one serves the next request. Only inside a running loop."""

    def __init__(self, url: str) -> None:
        self._server, self._proxy = urlsplit(url), addresses.proxy(url)
        self._tls = ssl.create_default_context() if self._server.scheme == "https" else None
        self._idle = dict[_Connection, float]()
        """Since when (monotonic), the last one at the end."""
        self._open = set[_Connection]()
        self._found: asyncio.Future[list[Any]] | None = None
        self._found_at, self._turn = 0.0, 0

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """A request up to its last header, which is still to come."""
        server = self._server
        target = quote(server.path + path, safe="/%:@!$&'()*+,;=~") + (f"?{server.query}" if server.query else "")
        headers = {"host": addresses.authority(server), "user-agent": "thinkin", **headers}
        if self._proxy and not self._tls:
            target = f"http://{addresses.authority(server)}{target}"
            headers |= addresses.authorization(self._proxy)
        return addresses.head(f"{method} {target}", headers)

    async def ask(self, request: bytes, seconds: float) -> Response:
        """The answer to a whole request; `Late`, `Unreadable`, or OSError where the connection is lost."""
        connection = self._kept() or await self._connected()
        response = await connection.ask(request, seconds)
        if connection.usable:
            self._idle[connection] = time.monotonic()
        else:
            connection.transport.abort()
        return response

    def close(self) -> None:
        for connection in tuple(self._open):
            connection.transport.abort()

    def _kept(self) -> "_Connection | None":
        oldest = time.monotonic() - KEEP_ALIVE
        while self._idle:
            connection, since = self._idle.popitem()
            if since >= oldest and connection.usable:
                return connection
            connection.transport.abort()
        return None

    async def _connected(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        connection = _Connection(self)
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                stream = await start_connection(
                    await self._addresses(), happy_eyeballs_delay=NEXT_ADDRESS, socket_factory=_socket
                )
                name = self._server.hostname if self._tls else None
                if self._proxy and self._tls:
                    outer, tunnel = await loop.create_connection(_Tunnel, sock=stream)
                    await tunnel.to(addresses.authority(self._server, whole=True), addresses.authorization(self._proxy))
                    inner = await loop.start_tls(outer, connection, self._tls, server_hostname=name)
                    connection.connection_made(inner)
                else:
                    await loop.create_connection(lambda: connection, sock=stream, ssl=self._tls, server_hostname=name)
        except TimeoutError:
            raise Late(f"no connection within {CONNECT_WITHIN:.0f} s") from None
        return connection

    async def _addresses(self) -> list[Any]:
        """Of the server or its proxy, each time beginning with another one. All that connect meanwhile wait for one
        answer."""
        if self._found is None or time.monotonic() - self._found_at > LOOKED_UP:
            there = self._proxy or self._server
            port = there.port or (443 if there.scheme == "https" else 80)
            asked = asyncio.get_running_loop().getaddrinfo(there.hostname, port, type=socket.SOCK_STREAM)
            self._found, self._found_at = asyncio.ensure_future(asked), time.monotonic()
        try:
            found = await asyncio.shield(self._found)
        except OSError:
            self._found = None
            raise
        self._turn += 1
        first = self._turn % len(found)
        return found[first:] + found[:first]

    def opened(self, connection: "_Connection") -> None:
        self._open.add(connection)

    def lost(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One request after the other, each with one answer; what comes beside that ends it."""

    transport: asyncio.Transport

    def __init__(self, pool: Connections) -> None:
        self._pool, self._parser = pool, HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._headers, self._body = dict[str, str](), list[bytes]()
        self._size, self._begun = 0, False
        self._keep = True

    @property
    def usable(self) -> bool:
        return self._keep and not self.transport.is_closing()

    async def ask(self, request: bytes, seconds: float) -> Response:
        loop = asyncio.get_running_loop()
        self._answer, self._size = loop.create_future(), 0
        late = loop.call_later(seconds, self._fail, Late(f"no answer within {seconds:.0f} s"))
        self.transport.write(request)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.transport.abort()  # its answer must not be taken for that of the next request
            raise
        finally:
            late.cancel()
            self._answer = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LARGEST:
            self._fail(Unreadable(f"the server's answer is longer than {LARGEST} bytes"))
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(Unreadable(f"the server's answer is no HTTP: {error}"))

    def eof_received(self) -> None:
        if self._begun and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._keep = False
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        self.transport.abort()
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)

    # --- what httptools calls

    def on_message_begin(self) -> None:
        self._headers, self._body, self._begun = {}, [], False
        if self._answer is None or self._answer.done():
            self.transport.abort()  # nobody asked

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._begun = False
        if self._parser.get_status_code() >= 200:  # what is below says that the answer is still to come
            self._keep = self._parser.should_keep_alive()
            self._answered()

    def _answered(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(Response(self._parser.get_status_code(), self._headers, b"".join(self._body)))


class _Tunnel(asyncio.Protocol):
    """A proxy that is asked for a way to a server."""

    def __init__(self) -> None:
        self._told, self._opened = b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def to(self, server: str, headers: Mapping[str, str]) -> None:
        """OSError where the proxy does not make it."""
        self._transport.write(addresses.head(f"CONNECT {server}", {"host": server, **headers}) + b"\r\n")
        try:
            status = await self._opened
        except BaseException:
            self._transport.abort()
            raise
        if status.split()[1:2] != [b"200"]:
            self._transport.abort()
            raise ConnectionRefusedError(f"the proxy leads nowhere: {status.decode(errors='replace')}")

    def data_received(self, data: bytes) -> None:
        self._told += data
        if not self._opened.done() and (b"\r\n\r\n" in self._told or len(self._told) > LONGEST_HEAD):
            self._opened.set_result(self._told.partition(b"\r\n")[0][:LINE])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("the proxy closed the connection"))


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices when the machine at the other end is gone: a chain can take an hour without a byte."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT)
    return made
