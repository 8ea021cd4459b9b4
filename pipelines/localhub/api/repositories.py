"""Repos as wholes: made, found, described, changed, deleted."""

import sqlite3
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn
from urllib.parse import urlencode

from starlette.responses import JSONResponse

from pipelines.localhub import cards
from pipelines.localhub.api import wire
from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import ConflictError, NotFoundError, UnauthorizedError
from pipelines.localhub.store import blobs, history, repos, trees
from pipelines.localhub.store.blobs import Blob
from pipelines.localhub.store.history import HEADS, Commit
from pipelines.localhub.store.objects import FILE, Entry, pointer
from pipelines.localhub.store.patterns import GITATTRIBUTES
from pipelines.localhub.store.repos import Kind, Repo

KINDS: dict[str, Kind] = {"model": "models", "dataset": "datasets"}
PAGE = 1000


def create(call: Call) -> JSONResponse:
    user = call.writer()
    body = call.parse(wire.NewRepo)
    namespace, kind = body.organization or user, KINDS[body.type]
    private = body.visibility == "private" if body.visibility else bool(body.private)
    with call.hub.db.write() as db:
        repo = _make(call, db, kind, f"{namespace}/{body.name}", private)
        attributes = Entry(FILE, blobs.add_small(db, GITATTRIBUTES.encode()))
        tree = trees.save(db, {".gitattributes": attributes})
        history.add(db, repo, HEADS + "main", tree, None, user, "initial commit")
    return JSONResponse({"url": call.url(repo.url_path), "name": repo.id, "id": str(repo.key)})


def duplicate(call: Call) -> JSONResponse:
    """A repo of its own that starts with the files another has on main."""
    user = call.writer()
    body = call.parse(wire.Duplicate)
    with call.hub.db.write() as db:
        source = call.repo(db)
        private = body.visibility == "private" if body.visibility else source.private
        repo = _make(call, db, source.kind, body.repository, private)
        tree = history.resolve(db, source, "main").tree
        history.add(db, repo, HEADS + "main", tree, None, user, f"Duplicate from {source.id}")
    return JSONResponse({"url": call.url(repo.url_path)})


def delete(call: Call) -> JSONResponse:
    user = call.writer()
    body = call.parse(wire.NamedRepo)
    with call.hub.db.write() as db:
        repos.delete(db, call.visible(db, KINDS[body.type], f"{body.organization or user}/{body.name}"))
    return JSONResponse({})


def move(call: Call) -> JSONResponse:
    call.writer()
    body = call.parse(wire.Move)
    namespace, _, name = body.toRepo.partition("/")
    with call.hub.db.write() as db:
        repo = call.visible(db, KINDS[body.type], body.fromRepo)
        if repos.find(db, repo.kind, body.toRepo):
            raise ConflictError(f"{body.toRepo} exists already")
        repos.move(db, repo, namespace, name)
    return JSONResponse({})


def settings(call: Call) -> JSONResponse:
    call.writer()
    body = call.parse(wire.Settings)
    private = body.visibility == "private" if body.visibility else body.private
    with call.hub.db.write() as db:
        repos.settings(db, call.repo(db), private, body.gated)
    return JSONResponse({})


def auth_check(call: Call) -> JSONResponse:
    with call.hub.db.read() as db:
        call.repo(db)
    return JSONResponse({})


def auth_check_write(call: Call) -> JSONResponse:
    answer = auth_check(call)
    call.writer()
    return answer


def info(call: Call) -> JSONResponse:
    with call.hub.db.read() as db:
        repo = call.repo(db)
        return JSONResponse(_details(db, repo, history.resolve(db, repo, call.revision), call.flag("blobs")))


def not_served(call: Call) -> NoReturn:
    """What only huggingface.co knows of a repo: the client must not conclude that the repo does not exist."""
    with call.hub.db.read() as db:
        call.repo(db)
    raise NotFoundError(f"the embedded Hub does not serve {call.path} of a repo")


def own(call: Call) -> JSONResponse:
    """What the caller's namespace holds, and how much of its bytes each repo's main is."""
    if call.caller is None:
        raise UnauthorizedError("Invalid username or password.")
    rows: list[dict[str, Any]] = []
    with call.hub.db.read() as db:
        for kind in KINDS.values():
            for repo in repos.listing(db, kind, call.caller.user, (), True, "modified_at"):
                files = trees.files(db, history.resolve(db, repo, "main").tree)
                rows.append(
                    {
                        "id": repo.id,
                        "type": kind.removesuffix("s"),
                        "updatedAt": moment(repo.modified_at),
                        "visibility": "private" if repo.private else "public",
                        "storage": sum(blob.size for blob in blobs.describe(db, files.values()).values()),
                    }
                )
    total = sum(row["storage"] for row in rows) or 1
    return JSONResponse([{**row, "storagePercent": 100 * row["storage"] / total} for row in rows])


def listing(call: Call) -> JSONResponse:
    query = call.query
    newest_by: Literal["created_at", "modified_at"] = (
        "created_at" if query.get("sort") == "createdAt" else "modified_at"
    )
    limit, skip = min(call.number("limit", PAGE), PAGE), call.number("skip")
    wanted = {*query.getlist("filter"), *query.getlist("pipeline_tag")}
    full = call.flag("full") or call.flag("cardData")
    with call.hub.db.read() as db:
        found = repos.listing(
            db, call.kind, query.get("author"), query.getlist("search"), call.caller is not None, newest_by
        )
        rows: list[dict[str, Any]] = []
        for repo in found:
            if "gated" in query and bool(repo.gated) != call.flag("gated"):
                continue
            head = history.resolve(db, repo, "main")
            row = _details(db, repo, head, with_blobs=False) if full or wanted else _summary(repo, head)
            if wanted <= set(row.get("tags", ())):
                rows.append(row)
    headers = {}
    if skip + limit < len(rows):
        rest = [(key, value) for key, value in query.multi_items() if key != "skip"]
        headers["Link"] = f'<{call.origin}/api/{call.kind}?{urlencode([*rest, ("skip", skip + limit)])}>; rel="next"'
    return JSONResponse(rows[skip : skip + limit], headers=headers)


def _make(call: Call, db: sqlite3.Connection, kind: Kind, repo_id: str, private: bool) -> Repo:
    existing = repos.find(db, kind, repo_id)
    if existing:
        raise ConflictError("You already created this repo", url=call.url(existing.url_path))
    namespace, _, name = repo_id.partition("/")
    return repos.create(db, kind, namespace, name, private)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def large_fields(blob: Blob, size_name: str) -> dict[str, Any]:
    """How the wire describes a large file; one route says `sha256` where another says `oid`."""
    if blob.sha256 is None:
        return {}
    size = len(pointer(blob.sha256, blob.size))
    return {"lfs": {size_name: blob.sha256, "size": blob.size, "pointerSize": size}}


def _summary(repo: Repo, head: Commit) -> dict[str, Any]:
    own_key = {"modelId": repo.id} if repo.kind == "models" else {}
    return {
        "_id": f"{repo.key:024x}",
        "id": repo.id,
        **own_key,
        "author": repo.id.partition("/")[0],
        "sha": head.oid,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "createdAt": moment(repo.created_at),
        "lastModified": moment(repo.modified_at),
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }


def _details(db: sqlite3.Connection, repo: Repo, commit: Commit, with_blobs: bool) -> dict[str, Any]:
    paths = trees.files(db, commit.tree)
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in paths]
    if with_blobs:
        known = blobs.describe(db, paths.values())
        for sibling, oid in zip(siblings, paths.values(), strict=True):
            sibling |= {"size": known[oid].size, "blobId": oid, **large_fields(known[oid], "sha256")}
    readme = blobs.small_content(db, paths["README.md"]) if "README.md" in paths else None
    card = cards.metadata(readme.decode(errors="replace")) if readme else {}
    texts = {key: card[key] for key in ("library_name", "pipeline_tag") if isinstance(card.get(key), str)}
    return {
        **_summary(repo, commit),
        "sha": commit.oid,
        "tags": cards.tags(card, repo.kind == "datasets"),
        "cardData": _plain(card) or None,
        "siblings": siblings,
        **texts,
    }


def _plain(value: Any) -> Any:
    """YAML knows dates, JSON does not."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
