"""Repos: their names, who may see them, when they changed."""

import re
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from json import dumps, loads
from typing import Literal

from pipelines.localhub.errors import BadRequestError

Kind = Literal["models", "datasets"]

NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
# First segments of our own URLs: a namespace of that name could not be told from them.
RESERVED = {"api", "datasets", "lfs", "models", "spaces", "xet"}


@dataclass(frozen=True)
class Repo:
    key: int
    kind: Kind
    id: str
    private: bool
    gated: str | Literal[False]
    created_at: float
    modified_at: float

    @property
    def url_path(self) -> str:
        """Where browsers and downloads find it; models have no prefix."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"


def check_name(namespace: str, name: str) -> None:
    for part in (namespace, name):
        if not NAME.fullmatch(part) or part.endswith(".git"):
            raise BadRequestError(f"{part[:100]!r} is no name: up to 96 letters, digits, '-', '_' and '.'")
    if namespace.lower() in RESERVED:
        raise BadRequestError(f"the namespace {namespace!r} is reserved")


def find(db: sqlite3.Connection, kind: Kind, repo_id: str) -> Repo | None:
    namespace, _, name = repo_id.partition("/")
    row = db.execute(
        "SELECT * FROM repo WHERE kind = ? AND namespace = ? AND name = ?", (kind, namespace, name)
    ).fetchone()
    return _repo(row) if row else None


def create(db: sqlite3.Connection, kind: Kind, namespace: str, name: str, private: bool) -> Repo:
    _check_free(db, kind, namespace, name)
    now = time.time()
    db.execute(
        "INSERT INTO repo (kind, namespace, name, private, gated, created_at, modified_at)"
        " VALUES (?, ?, ?, ?, 'false', ?, ?)",
        (kind, namespace, name, private, now, now),
    )
    repo = find(db, kind, f"{namespace}/{name}")
    assert repo is not None
    return repo


def settings(db: sqlite3.Connection, repo: Repo, private: bool | None, gated: str | bool | None) -> None:
    if private is not None:
        db.execute("UPDATE repo SET private = ? WHERE id = ?", (private, repo.key))
    if gated is not None:
        db.execute("UPDATE repo SET gated = ? WHERE id = ?", (dumps(gated), repo.key))


def move(db: sqlite3.Connection, repo: Repo, namespace: str, name: str) -> None:
    _check_free(db, repo.kind, namespace, name, repo)
    db.execute("UPDATE repo SET namespace = ?, name = ? WHERE id = ?", (namespace, name, repo.key))


def _check_free(db: sqlite3.Connection, kind: Kind, namespace: str, name: str, mover: Repo | None = None) -> None:
    """Names that differ in case alone would share a folder in the caches of clients on other systems."""
    check_name(namespace, name)
    similar = db.execute(
        "SELECT namespace || '/' || name FROM repo"
        " WHERE kind = ? AND lower(namespace) = lower(?) AND lower(name) = lower(?) AND id IS NOT ?",
        (kind, namespace, name, mover.key if mover else None),
    ).fetchone()
    if similar:
        raise BadRequestError(f"{namespace}/{name} differs only in case from {similar[0]}, which exists")


def touch(db: sqlite3.Connection, repo: Repo) -> None:
    db.execute("UPDATE repo SET modified_at = ? WHERE id = ?", (time.time(), repo.key))


def delete(db: sqlite3.Connection, repo: Repo) -> None:
    """Its refs and commits go at once; contents no repo needs any more are garbage, not ours to judge here."""
    db.execute("DELETE FROM repo WHERE id = ?", (repo.key,))


def listing(
    db: sqlite3.Connection,
    kind: Kind,
    author: str | None,
    search: Collection[str],
    private_too: bool,
    newest_by: Literal["created_at", "modified_at"],
) -> list[Repo]:
    """Newest first, those whose id contains every text of `search`, in whatever case."""
    rows = db.execute(
        "SELECT * FROM repo WHERE kind = :kind AND (:author IS NULL OR namespace = :author)"
        " AND NOT EXISTS (SELECT 1 FROM json_each(:search)"
        "                 WHERE NOT instr(lower(namespace || '/' || name), lower(value)))"
        " AND (:private_too OR NOT private)"
        " ORDER BY CASE :newest_by WHEN 'created_at' THEN created_at ELSE modified_at END DESC, id DESC",
        {
            "kind": kind,
            "author": author,
            "search": dumps(list(search)),
            "private_too": private_too,
            "newest_by": newest_by,
        },
    )
    return [_repo(row) for row in rows]


def _repo(row: sqlite3.Row) -> Repo:
    return Repo(
        key=row["id"],
        kind=row["kind"],
        id=f"{row['namespace']}/{row['name']}",
        private=bool(row["private"]),
        gated=loads(row["gated"]),
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )
