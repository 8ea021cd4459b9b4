"""Large files as Xet's clients send them: a token, then xorbs, then the shard that says how to make files of them.

What else they ask for is answered with a 404, after which they do without: a look for known chunks, and another way to
send a xorb. Downloads stay plain: nothing we send says that there is another way.
"""

from typing import Any, BinaryIO

from anyio import CapacityLimiter, to_thread
from starlette.responses import JSONResponse

from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import BadRequestError, TooLargeError
from pipelines.localhub.store import shards

# 64 MiB of chunks, with the headers before them and the footer behind.
MAX_XORB = 66 << 20
CHUNK = 1 << 20
# Unpacking and hashing fill a core each; more of them would make everyone else wait.
_UNPACKING = CapacityLimiter(2)


def write_token(call: Call) -> JSONResponse:
    """Where to send to, and a token that is good for that alone, for a while."""
    user = call.writer()
    with call.hub.db.read() as db:
        call.repo(db)
    token, expires = call.hub.sign_xet(user)
    address = f"{call.origin}/xet/{call.hub.xorbs.id}"
    headers = {"X-Xet-Cas-Url": address, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires)}
    return JSONResponse({"casUrl": address, "accessToken": token, "exp": expires}, headers=headers)


async def put_xorb(call: Call) -> JSONResponse:
    call.writer()
    _check_store(call)
    with call.hub.large.spool() as body:
        await _lay_aside(call, body, MAX_XORB)
        new = await to_thread.run_sync(call.hub.xorbs.add, call.args["xorb"], body, limiter=_UNPACKING)
    return JSONResponse({"was_inserted": new})


async def put_shard(call: Call) -> JSONResponse:
    """Of the older version, in which a refusal is a status: the clients show its number and not its reason."""
    call.writer()
    await _make_files(call)
    return JSONResponse({"result": 1})


async def put_shard_and_hear(call: Call) -> JSONResponse:
    """Of the newer version, in which the answer is a line of JSON for each event; a reason in it is shown."""
    call.writer()
    event: dict[str, Any] = {"type": "result"}
    try:
        await _make_files(call)
    except (BadRequestError, TooLargeError) as refusal:
        event = {"type": "error", "message": refusal.message, "retryable": False}
    return JSONResponse(event, media_type="application/x-ndjson")


async def _make_files(call: Call) -> None:
    """Returns when every file of the shard is on the disk."""
    _check_store(call)
    with call.hub.large.spool() as body:
        await _lay_aside(call, body, shards.MAX_SIZE)
        await to_thread.run_sync(_make_each, call, body, limiter=_UNPACKING)


def _make_each(call: Call, body: BinaryIO) -> None:
    for recipe in shards.recipes(body):
        shards.make(recipe, call.hub.xorbs, call.hub.large)


def _check_store(call: Call) -> None:
    if call.args["store"] != call.hub.xorbs.id:
        raise BadRequestError("the Hub began anew in the middle of this upload: upload again")


async def _lay_aside(call: Call, body: BinaryIO, limit: int) -> None:
    waiting, total = bytearray(), 0
    async for piece in call.request.stream():
        waiting += piece
        total += len(piece)
        if total > limit:
            raise TooLargeError(f"the body is longer than {limit} bytes")
        if len(waiting) >= CHUNK:
            await to_thread.run_sync(body.write, waiting)
            waiting = bytearray()
    await to_thread.run_sync(body.write, waiting)
    await to_thread.run_sync(body.seek, 0)
