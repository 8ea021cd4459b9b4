"""From a request to its handler and back: who calls, what may be asked, what a refusal looks like."""

import errno
import inspect
import logging
import sqlite3
from dataclasses import replace
from functools import partial
from typing import cast

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from pipelines.localhub import hosts, routes
from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import (
    BadRequestError,
    HubError,
    NotFoundError,
    RepoNotFoundError,
    SlowClientError,
    TooLargeError,
    UnauthorizedError,
)
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import tokens
from pipelines.localhub.store.tokens import Identity

log = logging.getLogger(__name__)
MAX_BODY = 16 << 20
# Between two pieces of a body: a client that stalls for longer gives its place and its temporary file back.
STALL_SECONDS = 120.0
# Nothing of ours is for other sites' pages; without these a browser would guess types and embed our answers there.
_ALWAYS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}


class App:
    """The ASGI application; `names` are the hosts it answers to, None for all."""

    def __init__(self, hub: Hub, names: frozenset[str] | None) -> None:
        self._hub = hub
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, partial(_in_time, receive))
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except HubError as error:
            response = _refusal(error)
        except Exception as error:  # noqa: BLE001 - the last line of defence; whatever it is, it is logged
            response = _fault(request, error)
        response.headers.update(_ALWAYS)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        hosts.check(request.headers.get("host", ""), self._names)
        try:
            raw_path = request.scope["raw_path"].decode("ascii")
        except UnicodeDecodeError as error:
            raise BadRequestError("the address is not percent-encoded") from error
        caller = await run_in_threadpool(self._identify, request, raw_path)
        matched = routes.match(request.method, raw_path)
        if matched is None:
            raise _unknown(raw_path, caller)
        handler, args = matched
        call = Call(self._hub, request, args, caller)
        if inspect.iscoroutinefunction(handler):
            return await handler(call)
        response = await run_in_threadpool(handler, replace(call, body=await _body(request)))
        return cast(Response, response)

    def _identify(self, request: Request, raw_path: str) -> Identity | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        caller = None
        if scheme.lower() == "bearer" and raw_path.startswith("/xet/"):
            caller = self._hub.identify_xet(token.strip())
        elif scheme.lower() == "bearer":
            with self._hub.db.read() as db:
                caller = tokens.identify(db, token.strip())
        if caller is None:
            raise UnauthorizedError("Invalid credentials in Authorization header")
        return caller


async def _in_time(receive: Receive) -> Message:
    try:
        with anyio.fail_after(STALL_SECONDS):
            return await receive()
    except TimeoutError as error:
        raise SlowClientError("the rest of the body did not come") from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLargeError(f"the body is longer than {MAX_BODY} bytes")
    return bytes(body)


def _unknown(raw_path: str, caller: Identity | None) -> HubError:
    """A repo named without its namespace lands here, and the clients must hear that it does not exist."""
    if "/resolve/" in raw_path or raw_path.startswith(("/api/models/", "/api/datasets/", "/api/spaces/")):
        return RepoNotFoundError(anonymous=caller is None)
    return NotFoundError("Sorry, we can't find the page you are looking for.")


def _refusal(error: HubError) -> Response:
    headers = {**error.headers, "X-Error-Message": _header_text(error.message)}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse(error.body(), error.status, headers)


def _fault(request: Request, error: Exception) -> Response:
    if _disk_refuses(error):
        log.error("%s %r: the disk takes no more: %s", request.method, request.scope["path"], error)
        text = "the disk of the Hub is full, or takes no larger file"
        return JSONResponse({"error": text}, 507, {"X-Error-Message": text})
    log.error("%s %r failed", request.method, request.scope["path"], exc_info=error)
    return JSONResponse({"error": "Internal error"}, 500, {"X-Error-Message": "Internal error"})


def _disk_refuses(error: Exception) -> bool:
    """SQLite calls a full disk by its name, and any other refusal (of a quota, or of a limit) a failed write."""
    if isinstance(error, sqlite3.Error):
        return error.sqlite_errorcode in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR_WRITE,
            sqlite3.SQLITE_IOERR_SHMSIZE,
        )
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _header_text(text: str) -> str:
    """Headers hold one line of latin-1, and no control characters."""
    printable = "".join(character if character.isprintable() else " " for character in text[:500])
    return " ".join(printable.split()).encode("latin-1", "replace").decode("latin-1")
