"""Commits and the refs that name them."""

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipelines.localhub.errors import BadRequestError, ConflictError, NotFoundError, RevisionNotFoundError
from pipelines.localhub.store import trees
from pipelines.localhub.store.objects import encode_commit, object_id
from pipelines.localhub.store.repos import Repo

HEADS = "refs/heads/"
TAGS = "refs/tags/"
PULLS = "refs/pr/"
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|^[/.-]|[/.]$|\.lock$|/\.")


class Commit(NamedTuple):
    oid: str
    tree: str
    parent: str | None
    author: str
    created_at: int
    message: str

    @property
    def title(self) -> str:
        return self.message.split("\n", 1)[0]

    @property
    def description(self) -> str:
        return self.message.partition("\n")[2].strip()


def add(db: sqlite3.Connection, repo: Repo, ref: str, tree: str, parent: str | None, author: str, text: str) -> Commit:
    """Writes a commit and lets `ref` point to it."""
    now = int(time.time())
    oid = object_id("commit", encode_commit(tree, parent, author, now, text))
    db.execute(
        "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?, ?, ?, ?)", (repo.key, oid, tree, parent, author, now, text)
    )
    set_ref(db, repo, ref, oid)
    return Commit(oid, tree, parent, author, now, text)


def resolve(db: sqlite3.Connection, repo: Repo, revision: str) -> Commit:
    """A branch, a tag, a full ref, or a commit id of this very repo (7 digits or more)."""
    head = db.execute(
        "SELECT head FROM ref WHERE repo = ? AND name IN (?, ?, ?)"
        " ORDER BY name LIKE 'refs/heads/%' DESC, name LIKE 'refs/tags/%' DESC",
        (repo.key, HEADS + revision, TAGS + revision, revision),
    ).fetchone()
    oid = head["head"] if head else revision
    if not re.fullmatch(r"[0-9a-f]{7,40}", oid):
        raise RevisionNotFoundError(revision)
    rows = db.execute(
        "SELECT oid, tree, parent, author, created_at, message FROM history"
        " WHERE repo = ? AND oid >= ? AND oid < ? || 'g' LIMIT 2",
        (repo.key, oid, oid),
    ).fetchall()
    if len(rows) != 1:
        raise RevisionNotFoundError(revision)
    return Commit(*rows[0])


def branch_of(db: sqlite3.Connection, repo: Repo, revision: str) -> str:
    """The ref that a commit to `revision` would move."""
    for ref in (HEADS + revision, revision):
        if ref.startswith((HEADS, PULLS)) and get_ref(db, repo, ref):
            return ref
    resolve(db, repo, revision)
    raise BadRequestError(f"{revision!r} is no branch: commits go to a branch or a pull request")


def ancestors(db: sqlite3.Connection, repo: Repo, start: Commit) -> Iterator[Commit]:
    """A commit and those before it, newest first."""
    commit: Commit | None = start
    while commit is not None:
        yield commit
        commit = resolve(db, repo, commit.parent) if commit.parent else None


def last_changes(db: sqlite3.Connection, repo: Repo, head: Commit, paths: Iterable[str]) -> dict[str, Commit]:
    """For each path of `head`, the newest commit that made it what it is."""
    pending = set(paths)
    found: dict[str, Commit] = {}
    read = trees.reader(db)
    for commit in ancestors(db, repo, head):
        before = resolve(db, repo, commit.parent).tree if commit.parent else None
        for path in pending.intersection(path for path, _, _ in trees.changes(read, before, commit.tree)):
            found[path] = commit
            pending.remove(path)
        if not pending:
            break
    return found


def refs(db: sqlite3.Connection, repo: Repo) -> list[tuple[str, str]]:
    return [tuple(row) for row in db.execute("SELECT name, head FROM ref WHERE repo = ? ORDER BY name", (repo.key,))]


def get_ref(db: sqlite3.Connection, repo: Repo, ref: str) -> str | None:
    row = db.execute("SELECT head FROM ref WHERE repo = ? AND name = ?", (repo.key, ref)).fetchone()
    return row["head"] if row else None


def set_ref(db: sqlite3.Connection, repo: Repo, ref: str, head: str) -> None:
    db.execute(
        "INSERT INTO ref VALUES (?, ?, ?) ON CONFLICT (repo, name) DO UPDATE SET head = excluded.head",
        (repo.key, ref, head),
    )


def new_ref(db: sqlite3.Connection, repo: Repo, prefix: str, name: str, head: str) -> None:
    # A branch named like a commit would answer for it, and a pinned revision must never move.
    like_a_commit = re.fullmatch(r"[0-9a-f]{40}", name)
    misleading = name.startswith("refs/") or like_a_commit or not name.isprintable() or _BAD_REF.search(name)
    if misleading or not 0 < len(name) <= 200:
        raise BadRequestError(f"Invalid reference for a branch or tag: {name[:100]!r}")
    if get_ref(db, repo, prefix + name):
        raise ConflictError(f"Reference already exists: {prefix}{name}")
    set_ref(db, repo, prefix + name, head)


def drop_ref(db: sqlite3.Connection, repo: Repo, ref: str) -> None:
    if db.execute("DELETE FROM ref WHERE repo = ? AND name = ?", (repo.key, ref)).rowcount == 0:
        raise NotFoundError(f"Reference does not exist: {ref}")
