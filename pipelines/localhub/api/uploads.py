"""Files on their way in: how to send them, sending large ones, and the commit that makes them part of a repo."""

import base64
import binascii
import sqlite3
from collections.abc import Iterator
from typing import Any, BinaryIO

from anyio import CapacityLimiter, to_thread
from pydantic import TypeAdapter, ValidationError
from starlette.responses import JSONResponse

from pipelines.localhub.api import wire
from pipelines.localhub.api.call import Call, explain
from pipelines.localhub.api.streams import pour
from pipelines.localhub.errors import BadRequestError, TooLargeError
from pipelines.localhub.store import blobs, commits, discussions, history, trees
from pipelines.localhub.store.commits import Operation, PutLarge, PutSmall, Remove
from pipelines.localhub.store.history import PULLS
from pipelines.localhub.store.patterns import GITATTRIBUTES, is_ignored, is_large

# Above this a file goes beside the database whatever its name, which keeps the database small.
SMALL = 1 << 20
MAX_SMALL = 10 << 20
MAX_LINE = 2 * MAX_SMALL
MAX_COMMIT = 4 << 30
# One commit at a time: a longer list would keep all others waiting.
MAX_OPERATIONS = 100_000
CHUNK = 1 << 20
# Commits wait for one another; waiting in all threads they would make readers wait too.
_COMMITTING = CapacityLimiter(4)
_OPERATION: TypeAdapter[wire.FileLine | wire.LargeFileLine | wire.DeletedFileLine | wire.DeletedFolderLine] = (
    TypeAdapter(wire.OperationLine)
)


def preupload(call: Call) -> JSONResponse:
    """Which files to send as large ones; the ids we hold let the client skip what has not changed."""
    call.writer()
    body = call.parse(wire.Preupload)
    with call.hub.db.read() as db:
        repo = call.repo(db)
        root = history.resolve(db, repo, call.revision).tree
        attributes = _text(db, root, ".gitattributes")
        ignore = body.gitIgnore if body.gitIgnore is not None else _text(db, root, ".gitignore")
        found = trees.find_each(db, root, (file.path for file in body.files))
        known = blobs.describe(db, (entry.oid for entry in found.values() if entry is not None))
    rows: list[dict[str, Any]] = []
    for file in body.files:
        entry = found[file.path]
        blob = known.get(entry.oid) if entry else None
        large = file.size > SMALL or is_large(GITATTRIBUTES if attributes is None else attributes, file.path)
        rows.append(
            {
                "path": file.path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": is_ignored(ignore or "", file.path),
                "oid": blob.etag if blob else None,
            }
        )
    return JSONResponse({"files": rows})


def large_batch(call: Call) -> JSONResponse:
    """Where to put each large file; nothing for those that are here already, from whatever repo."""
    call.writer()
    body = call.parse(wire.LargeBatch)
    with call.hub.db.read() as db:
        call.repo(db)
    objects: list[dict[str, Any]] = []
    for item in body.objects:
        row: dict[str, Any] = {"oid": item.oid, "size": item.size}
        if call.hub.large.size(item.oid) != item.size:
            link = f"{call.origin}/lfs/{item.oid}?{call.hub.sign_upload(item.oid, item.size)}"
            row["actions"] = {"upload": {"href": link, "header": {}}}
        objects.append(row)
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")


async def put_large(call: Call) -> JSONResponse:
    """Streams one large file to disk; the signed link is the permission."""
    sha256, query = call.args["sha256"], call.query
    try:
        size, expires = int(query["size"]), int(query["expires"])
    except (KeyError, ValueError) as error:
        raise BadRequestError("an upload link has size, expires and signature") from error
    call.hub.check_upload(sha256, size, expires, query.get("signature", ""))
    incoming = await to_thread.run_sync(call.hub.large.receive, sha256, size)
    try:
        await pour(call.request.stream(), incoming.write)
        await to_thread.run_sync(incoming.keep)
    finally:
        incoming.discard()
    return JSONResponse({})


async def commit(call: Call) -> JSONResponse:
    """The body may be long (every small file of a folder), so it is laid aside and read line by line."""
    author = call.writer()
    with call.hub.large.spool() as body:
        waiting, total = bytearray(), 0
        async for chunk in call.request.stream():
            waiting += chunk
            total += len(chunk)
            if total > MAX_COMMIT:
                raise TooLargeError("the commit is too large")
            if len(waiting) >= CHUNK:
                await to_thread.run_sync(body.write, waiting)
                waiting = bytearray()
        return await to_thread.run_sync(_commit, call, author, body, waiting, limiter=_COMMITTING)


def _commit(call: Call, author: str, body: BinaryIO, rest: bytearray) -> JSONResponse:
    body.write(rest)
    body.seek(0)
    header = _header(body)
    message = f"{header.summary}\n\n{header.description}".strip()
    answer: dict[str, Any] = {"success": True}
    with call.hub.db.write() as db:
        repo = call.repo(db)
        ref = None
        if call.flag("create_pr"):
            base = history.branch_of(db, repo, call.revision)
            title = header.summary or "Upload"
            pull = discussions.open_one(db, repo, title[:200], header.description, author, base, "open")
            ref = f"{PULLS}{pull.num}"
            answer["pullRequestUrl"] = call.url(repo.url_path, "discussions", str(pull.num))
        made = commits.commit(
            db, call.hub.large, repo, call.revision, _operations(body), author, message, header.parentCommit, ref
        )
    return JSONResponse({**answer, "commitOid": made.oid, "commitUrl": call.url(repo.url_path, "commit", made.oid)})


def _header(body: BinaryIO) -> wire.Header:
    try:
        return wire.HeaderLine.model_validate_json(body.readline(MAX_LINE)).value
    except ValidationError as error:
        raise BadRequestError(f"the first line must be the header: {explain(error)}") from error


def _operations(body: BinaryIO) -> Iterator[Operation]:
    number = 1
    while line := body.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TooLargeError(f"line {number} is too long: send large files as such")
        if number > MAX_OPERATIONS + 1:
            raise TooLargeError(f"more than {MAX_OPERATIONS} operations: divide them among several commits")
        if not line.strip():
            continue
        try:
            yield _operation(_OPERATION.validate_json(line))
        except ValidationError as error:
            raise BadRequestError(f"line {number}: {explain(error)}") from error


def _operation(
    line: wire.FileLine | wire.LargeFileLine | wire.DeletedFileLine | wire.DeletedFolderLine,
) -> Operation:
    match line:
        case wire.FileLine(value=file):
            return PutSmall(file.path, _content(file))
        case wire.LargeFileLine(value=file):
            return PutLarge(file.path, file.oid, file.size)
        case wire.DeletedFileLine(value=gone):
            return Remove(gone.path, a_folder=False)
        case wire.DeletedFolderLine(value=gone):
            return Remove(gone.path, a_folder=True)


def _content(file: wire.File) -> bytes:
    try:
        content = base64.b64decode(file.content, validate=True) if file.encoding == "base64" else file.content.encode()
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(f"{file.path}: the content is not {file.encoding}") from error
    if len(content) > MAX_SMALL:
        raise TooLargeError(f"{file.path}: {len(content)} bytes, send it as a large file")
    return content


def _text(db: sqlite3.Connection, root: str, name: str) -> str | None:
    entry = trees.find(db, root, name)
    content = blobs.small_content(db, entry.oid) if entry and not entry.is_folder else None
    return None if content is None else content.decode(errors="replace")
