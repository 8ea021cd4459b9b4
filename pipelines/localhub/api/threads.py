"""Discussions and pull requests on the wire."""

import sqlite3
from typing import Any

from starlette.responses import JSONResponse

from pipelines.localhub.api import wire
from pipelines.localhub.api.call import Call
from pipelines.localhub.api.repositories import moment
from pipelines.localhub.errors import BadRequestError
from pipelines.localhub.store import discussions, history
from pipelines.localhub.store.discussions import Discussion, Event
from pipelines.localhub.store.history import HEADS
from pipelines.localhub.store.repos import Repo

PAGE = 50


def create(call: Call) -> JSONResponse:
    """A pull request starts as a draft whose ref stands where main is; commits then go to that ref."""
    user = call.writer()
    body = call.parse(wire.NewDiscussion)
    base = HEADS + "main" if body.pullRequest else None
    with call.hub.db.write() as db:
        repo = call.repo(db)
        made = discussions.open_one(
            db, repo, body.title, body.description, user, base, "draft" if body.pullRequest else "open"
        )
        if base:
            history.set_ref(db, repo, made.ref, history.resolve(db, repo, base).oid)
        return JSONResponse(_summary(repo, made))


def listing(call: Call) -> JSONResponse:
    start = call.number("p") * PAGE
    kind, status, author = call.query.get("type"), call.query.get("status"), call.query.get("author")
    with call.hub.db.read() as db:
        repo = call.repo(db)
        found = [
            it
            for it in discussions.listing(db, repo)
            if kind in (None, "all", "pull_request" if it.base else "discussion")
            and (status in (None, "all") or (it.status in ("open", "draft")) == (status == "open"))
            and author in (None, it.author)
        ]
    rows = [_summary(repo, it) for it in found[start : start + PAGE]]
    return JSONResponse({"discussions": rows, "count": len(found), "start": start})


def details(call: Call) -> JSONResponse:
    with call.hub.db.read() as db:
        repo, it = _named(db, call)
        answer = {**_summary(repo, it), "events": [_event(event) for event in discussions.events(db, repo, it.num)]}
    if it.base:
        answer |= {"changes": {"base": it.base, "mergeCommitId": it.merged}, "filesWithConflicts": [], "diff": ""}
    return JSONResponse(answer)


def comment(call: Call) -> JSONResponse:
    user, text = call.writer(), call.parse(wire.Comment).comment
    with call.hub.db.write() as db:
        repo, it = _named(db, call)
        event = discussions.add_event(db, repo, it.num, "comment", user, {"raw": text})
    return JSONResponse({"newMessage": _event(event)})


def title(call: Call) -> JSONResponse:
    user, text = call.writer(), call.parse(wire.NewTitle).title
    with call.hub.db.write() as db:
        repo, it = _named(db, call)
        event = discussions.set_title(db, repo, it, text, user)
    return JSONResponse({"newTitle": _event(event)})


def status(call: Call) -> JSONResponse:
    user, body = call.writer(), call.parse(wire.NewStatus)
    with call.hub.db.write() as db:
        repo, it = _named(db, call)
        if it.status == "merged":
            raise BadRequestError("a merged pull request stays merged")
        if body.comment:
            discussions.add_event(db, repo, it.num, "comment", user, {"raw": body.comment})
        event = discussions.set_status(db, repo, it, body.status, user)
    return JSONResponse({"newStatus": _event(event)})


def merge(call: Call) -> JSONResponse:
    user = call.writer()
    with call.hub.db.write() as db:
        repo, it = _named(db, call)
        discussions.merge(db, repo, it, user)
    return JSONResponse({})


def _named(db: sqlite3.Connection, call: Call) -> tuple[Repo, Discussion]:
    repo = call.repo(db)
    return repo, discussions.find(db, repo, int(call.args["num"]))


def _summary(repo: Repo, it: Discussion) -> dict[str, Any]:
    return {
        "num": it.num,
        "title": it.title,
        "author": {"name": it.author},
        "createdAt": moment(it.created_at),
        "status": it.status,
        "isPullRequest": it.base is not None,
        "repo": {"name": repo.id, "type": repo.kind.removesuffix("s")},
    }


def _event(event: Event) -> dict[str, Any]:
    when = moment(event.created_at)
    author = {"name": event.author}
    data = event.data
    if event.type == "comment":
        latest = {"raw": data["raw"], "html": "", "updatedAt": when, "author": author}
        data = {"edited": False, "hidden": False, "latest": latest, "history": [latest]}
    return {"id": f"{event.id:024x}", "type": event.type, "createdAt": when, "author": author, "data": data}
