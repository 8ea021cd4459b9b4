"""What is in a repo at a revision: folders, paths, history, refs."""

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.responses import JSONResponse

from pipelines.localhub.api import wire
from pipelines.localhub.api.call import Call
from pipelines.localhub.api.repositories import large_fields, moment
from pipelines.localhub.errors import BadRequestError, EntryNotFoundError
from pipelines.localhub.store import blobs, commits, history, trees
from pipelines.localhub.store.history import HEADS, PULLS, TAGS, Commit
from pipelines.localhub.store.objects import Entry
from pipelines.localhub.store.repos import Repo

TREE_PAGE = 1000
EXPANDED_PAGE = 100
COMMITS_PAGE = 100


def tree(call: Call) -> JSONResponse:
    """One page of a folder. The next page's link names the commit: a listing does not change halfway."""
    expand, recursive = call.flag("expand"), call.flag("recursive")
    page = EXPANDED_PAGE if expand else TREE_PAGE
    start = call.number("cursor")
    with call.hub.db.read() as db:
        repo = call.repo(db)
        commit = history.resolve(db, repo, call.revision)
        folder = trees.find(db, commit.tree, call.path)
        if folder is None or not folder.is_folder:
            raise EntryNotFoundError(f"{call.path} does not exist on {call.revision!r}", {"X-Repo-Commit": commit.oid})
        found = list(islice(trees.walk(db, folder.oid, call.path, recursive), start, start + page + 1))
        rows = _describe(db, repo, commit, found[:page], expand)
    headers = {}
    if len(found) > page:
        below = f"/{quote(call.path, safe='')}" if call.path else ""
        query = urlencode({"recursive": recursive, "expand": expand, "cursor": start + page})
        headers["Link"] = _next(call, f"tree/{commit.oid}{below}?{query}")
    return JSONResponse(rows, headers=headers)


def paths_info(call: Call) -> JSONResponse:
    try:
        form = parse_qs(call.body.decode(), max_num_fields=10_000)
    except ValueError as error:
        raise BadRequestError("a form with `paths` is expected") from error
    expand = form.get("expand", [""])[0].lower() in ("1", "true")
    with call.hub.db.read() as db:
        repo = call.repo(db)
        commit = history.resolve(db, repo, call.revision)
        wanted = trees.find_each(db, commit.tree, (path.strip("/") for path in form.get("paths", [])))
        found = [(path, entry) for path, entry in wanted.items() if entry is not None and path]
        return JSONResponse(_describe(db, repo, commit, found, expand))


def commit_list(call: Call) -> JSONResponse:
    formatted = "formatted" in call.query.getlist("expand[]")
    with call.hub.db.read() as db:
        repo = call.repo(db)
        start = history.resolve(db, repo, call.revision)
        found = list(islice(history.ancestors(db, repo, start), COMMITS_PAGE + 1))
    rows: list[dict[str, Any]] = []
    for commit in found[:COMMITS_PAGE]:
        row = {**_commit(commit), "message": commit.description, "authors": [{"user": commit.author, "avatar": ""}]}
        if formatted:
            row["formatted"] = {"title": commit.title, "message": commit.description}
        rows.append(row)
    headers = {}
    if len(found) > COMMITS_PAGE:
        query = "?expand[]=formatted" if formatted else ""
        headers["Link"] = _next(call, f"commits/{found[COMMITS_PAGE].oid}{query}")
    return JSONResponse(rows, headers=headers)


def refs(call: Call) -> JSONResponse:
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    prefixes = {HEADS: "branches", TAGS: "tags"}
    if call.flag("include_prs"):
        groups["pullRequests"] = []
        prefixes[PULLS] = "pullRequests"
    with call.hub.db.read() as db:
        for ref, head in history.refs(db, call.repo(db)):
            for prefix, group in prefixes.items():
                if ref.startswith(prefix):
                    groups[group].append({"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": head})
    return JSONResponse(groups)


def create_branch(call: Call) -> JSONResponse:
    call.writer()
    start = call.parse(wire.NewBranch).startingPoint or "main"
    with call.hub.db.write() as db:
        repo = call.repo(db)
        history.new_ref(db, repo, HEADS, call.args["branch"], history.resolve(db, repo, start).oid)
    return JSONResponse({})


def delete_branch(call: Call) -> JSONResponse:
    call.writer()
    branch = call.args["branch"]
    if branch == "main":
        raise BadRequestError("the branch main cannot be deleted")
    with call.hub.db.write() as db:
        history.drop_ref(db, call.repo(db), HEADS + branch)
    return JSONResponse({})


def create_tag(call: Call) -> JSONResponse:
    """Tags are light: a message has nowhere to show, so it is not kept."""
    call.writer()
    body = call.parse(wire.NewTag)
    with call.hub.db.write() as db:
        repo = call.repo(db)
        history.new_ref(db, repo, TAGS, body.tag, history.resolve(db, repo, call.revision).oid)
    return JSONResponse({})


def delete_tag(call: Call) -> JSONResponse:
    call.writer()
    with call.hub.db.write() as db:
        history.drop_ref(db, call.repo(db), TAGS + call.revision)
    return JSONResponse({})


def super_squash(call: Call) -> JSONResponse:
    user, branch = call.writer(), call.args["branch"]
    message = call.parse(wire.Squash).message or f"Super-squash branch '{branch}'"
    with call.hub.db.write() as db:
        commits.squash(db, call.repo(db), branch, user, message)
    return JSONResponse({})


def _describe(
    db: sqlite3.Connection, repo: Repo, commit: Commit, found: Iterable[tuple[str, Entry]], expand: bool
) -> list[dict[str, Any]]:
    found = list(found)
    known = blobs.describe(db, (entry.oid for _, entry in found if not entry.is_folder))
    last = history.last_changes(db, repo, commit, (path for path, _ in found)) if expand else {}
    rows: list[dict[str, Any]] = []
    for path, entry in found:
        blob = known.get(entry.oid)
        if blob is None:
            row: dict[str, Any] = {"type": "directory", "oid": entry.oid, "size": 0, "path": path}
        else:
            row = {"type": "file", "oid": entry.oid, "size": blob.size, "path": path, **large_fields(blob, "oid")}
        if path in last:
            row["lastCommit"] = _commit(last[path])
        rows.append(row)
    return rows


def _commit(commit: Commit) -> dict[str, Any]:
    return {"id": commit.oid, "title": commit.title, "date": moment(commit.created_at)}


def _next(call: Call, rest: str) -> str:
    return f'<{call.origin}/api/{call.kind}/{quote(call.args["repo"])}/{rest}>; rel="next"'
