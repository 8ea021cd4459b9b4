"""From a data folder to a listening socket."""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import uvicorn

from pipelines.localhub import hosts
from pipelines.localhub.app import App
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import repos, tokens

# SQLite has one writer and Python one lock: more threads would only hold more memory.
THREADS = 16
# Clients reuse connections after long computations; a short timeout closes them at the very moment of reuse.
KEEP_ALIVE_SECONDS = 75


def run(data: Path, host: str, port: int, token: str | None, user: str, on_ready: Callable[[str], None]) -> None:
    if not repos.NAME.fullmatch(user):
        raise ValueError(f"{user!r} cannot be a user: letters, digits, '-', '_' and '.', as in a repo's name")
    hub = Hub(data)
    if token is not None:
        with hub.db.write() as db:
            tokens.name_token(db, token, user)
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            App(hub, hosts.of(host, listener.getsockname()[0])),
            # The strict parser, and no protocol to upgrade to.
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
        with suppress(KeyboardInterrupt):
            _Server(config, on_ready, _base_url(listener)).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[str], None], url: str) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets)
        self._on_ready(self._url)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(1024)
    return listener


def _base_url(listener: socket.socket) -> str:
    """An address one can open: a wildcard is none, so it becomes the loopback of its family."""
    host, port = listener.getsockname()[:2]
    if listener.family == socket.AF_INET6:
        return f"http://[{'::1' if host == '::' else host}]:{port}"
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared with, not bound to
