"""Files on their way out: `resolve`, with the headers the clients cache by, and ranges."""

import mimetypes
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import EntryNotFoundError
from pipelines.localhub.store import blobs, history, trees
from pipelines.localhub.store.blobs import Blob
from pipelines.localhub.store.largefiles import LargeFiles

CHUNK = 1 << 20
# A repo's file opened in a browser must not act as a page of ours.
_INERT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


@dataclass(frozen=True)
class Found:
    commit: str
    blob: Blob
    small: bytes | None
    """The content, unless it is a large file."""


def resolve(call: Call) -> Response:
    found = _find(call)
    size = found.blob.size
    etag = f'"{found.blob.etag}"'
    headers = {
        "X-Repo-Commit": found.commit,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": _media_type(call.path),
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(call.path.rpartition('/')[2])}",
        **_INERT,
    }
    if found.blob.sha256:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(size)}
    if call.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    first, last = 0, size - 1
    status = 200
    wanted = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", call.headers.get("range", "").strip())
    if wanted and wanted[0] != "bytes=-" and call.headers.get("if-range", etag) == etag:
        first = int(wanted[1]) if wanted[1] else max(size - int(wanted[2]), 0)
        last = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
        if first > last:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    if found.blob.sha256 is None:
        return Response((found.small or b"")[first : last + 1], status, headers)
    return StreamingResponse(_stream(call.hub.large, found.blob.sha256, first, last - first + 1), status, headers)


def _find(call: Call) -> Found:
    with call.hub.db.read() as db:
        repo = call.repo(db)
        commit = history.resolve(db, repo, call.revision)
        entry = trees.find(db, commit.tree, call.path)
        if entry is None or entry.is_folder:
            raise EntryNotFoundError("Entry not found", {"X-Repo-Commit": commit.oid})
        return Found(commit.oid, blobs.describe(db, [entry.oid])[entry.oid], blobs.small_content(db, entry.oid))


async def _stream(large: LargeFiles, sha256: str, start: int, length: int) -> AsyncIterator[bytes]:
    """Pieces large enough that a thread per piece costs little, small enough to hold."""
    file = await to_thread.run_sync(large.open, sha256)
    try:
        await to_thread.run_sync(file.seek, start)
        while length > 0:
            chunk = await to_thread.run_sync(file.read, min(CHUNK, length))
            if not chunk:
                raise OSError(f"{sha256} is shorter than when it was committed")
            length -= len(chunk)
            yield chunk
    finally:
        file.close()


def _media_type(path: str) -> str:
    """By the last suffix alone: `guess_type` would take a path that begins with `data:` at its word."""
    guessed = mimetypes.types_map.get(PurePosixPath(path).suffix.lower(), "application/octet-stream")
    if guessed.startswith(("image/", "audio/", "video/")) or guessed in ("application/json", "application/pdf"):
        return guessed
    if guessed.startswith("text/") or path.endswith((".yaml", ".yml", ".jsonl", ".toml", ".jinja")):
        return "text/plain; charset=utf-8"
    return "application/octet-stream"
