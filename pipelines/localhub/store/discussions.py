"""Discussions and pull requests: a thread of events, and for a pull request a ref of its own."""

import sqlite3
import time
from dataclasses import dataclass
from json import dumps, loads
from typing import Any

from pipelines.localhub.errors import BadRequestError, NotFoundError
from pipelines.localhub.store import commits, history
from pipelines.localhub.store.repos import Repo


@dataclass(frozen=True)
class Discussion:
    num: int
    title: str
    author: str
    created_at: float
    status: str
    base: str | None
    """The ref a pull request wants to go to; None for a mere discussion."""
    merged: str | None

    @property
    def ref(self) -> str:
        return f"{history.PULLS}{self.num}"


@dataclass(frozen=True)
class Event:
    id: int
    type: str
    author: str
    created_at: float
    data: dict[str, Any]


def next_number(db: sqlite3.Connection, repo: Repo) -> int:
    return db.execute("SELECT coalesce(max(num), 0) + 1 FROM discussion WHERE repo = ?", (repo.key,)).fetchone()[0]


def open_one(
    db: sqlite3.Connection, repo: Repo, title: str, text: str, author: str, base: str | None, status: str
) -> Discussion:
    num = next_number(db, repo)
    db.execute(
        "INSERT INTO discussion VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (repo.key, num, title, author, time.time(), status, base),
    )
    if text:
        add_event(db, repo, num, "comment", author, {"raw": text})
    return find(db, repo, num)


def find(db: sqlite3.Connection, repo: Repo, num: int) -> Discussion:
    row = db.execute("SELECT * FROM discussion WHERE repo = ? AND num = ?", (repo.key, num)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no discussion {num}")
    return _discussion(row)


def listing(db: sqlite3.Connection, repo: Repo) -> list[Discussion]:
    rows = db.execute("SELECT * FROM discussion WHERE repo = ? ORDER BY num DESC", (repo.key,))
    return [_discussion(row) for row in rows]


def add_event(db: sqlite3.Connection, repo: Repo, num: int, kind: str, author: str, data: dict[str, Any]) -> Event:
    now = time.time()
    cursor = db.execute(
        "INSERT INTO event (repo, num, type, author, created_at, data) VALUES (?, ?, ?, ?, ?, ?)",
        (repo.key, num, kind, author, now, dumps(data)),
    )
    assert cursor.lastrowid is not None
    return Event(cursor.lastrowid, kind, author, now, data)


def events(db: sqlite3.Connection, repo: Repo, num: int) -> list[Event]:
    rows = db.execute("SELECT * FROM event WHERE repo = ? AND num = ? ORDER BY id", (repo.key, num))
    return [Event(row["id"], row["type"], row["author"], row["created_at"], loads(row["data"])) for row in rows]


def set_status(db: sqlite3.Connection, repo: Repo, it: Discussion, status: str, author: str) -> Event:
    db.execute("UPDATE discussion SET status = ? WHERE repo = ? AND num = ?", (status, repo.key, it.num))
    return add_event(db, repo, it.num, "status-change", author, {"status": status})


def set_title(db: sqlite3.Connection, repo: Repo, it: Discussion, title: str, author: str) -> Event:
    db.execute("UPDATE discussion SET title = ? WHERE repo = ? AND num = ?", (title, repo.key, it.num))
    return add_event(db, repo, it.num, "title-change", author, {"from": it.title, "to": title})


def merge(db: sqlite3.Connection, repo: Repo, it: Discussion, author: str) -> None:
    if it.base is None or it.status not in ("open", "draft"):
        raise BadRequestError(f"discussion {it.num} is no open pull request")
    theirs = history.resolve(db, repo, it.ref)
    merged = commits.merge(db, repo, theirs, it.base, author, f"{it.title} (#{it.num})")
    db.execute("UPDATE discussion SET merged = ? WHERE repo = ? AND num = ?", (merged.oid, repo.key, it.num))
    set_status(db, repo, it, "merged", author)


def _discussion(row: sqlite3.Row) -> Discussion:
    return Discussion(
        row["num"], row["title"], row["author"], row["created_at"], row["status"], row["base"], row["merged"]
    )
