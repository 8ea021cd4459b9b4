"""The one way a branch moves: a transaction that checks the parent, writes the objects and swaps the ref."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.localhub import cards
from pipelines.localhub.errors import BadRequestError, ConflictError, StaleParentError
from pipelines.localhub.store import blobs, history, repos, trees
from pipelines.localhub.store.history import Commit
from pipelines.localhub.store.largefiles import LargeFiles
from pipelines.localhub.store.objects import FILE, Entry
from pipelines.localhub.store.repos import Repo


@dataclass(frozen=True)
class PutSmall:
    path: str
    content: bytes


@dataclass(frozen=True)
class PutLarge:
    path: str
    sha256: str
    size: int | None
    """Unknown to the client when it copies a file."""


@dataclass(frozen=True)
class Remove:
    path: str
    a_folder: bool


Operation = PutSmall | PutLarge | Remove


def commit(
    db: sqlite3.Connection,
    large: LargeFiles,
    repo: Repo,
    revision: str,
    operations: Iterable[Operation],
    author: str,
    message: str,
    expected_parent: str | None = None,
    new_ref: str | None = None,
) -> Commit:
    """Applies `operations` in their order on top of `revision`; with `new_ref` the branch stays and that ref is made.

    Runs inside the caller's transaction: an operation that fails leaves no trace of those before it.
    """
    ref = new_ref or history.branch_of(db, repo, revision)
    parent = history.resolve(db, repo, revision)
    if expected_parent is not None and not parent.oid.startswith(expected_parent):
        raise StaleParentError
    draft = trees.Draft(db, parent.tree)
    for operation in operations:
        _apply(db, large, draft, operation)
    repos.touch(db, repo)
    return history.add(db, repo, ref, draft.save() or trees.save(db, {}), parent.oid, author, message)


def merge(db: sqlite3.Connection, repo: Repo, theirs: Commit, base: str, author: str, message: str) -> Commit:
    """What `theirs` changed since it left `base`, as one commit on `base`. Linear history is all the clients see."""
    ref = history.branch_of(db, repo, base)
    ours = history.resolve(db, repo, ref)
    known = {commit.oid for commit in history.ancestors(db, repo, ours)}
    fork = next((commit for commit in history.ancestors(db, repo, theirs) if commit.oid in known), None)
    if fork is None:
        raise ConflictError("the histories have nothing in common")
    draft = trees.Draft(db, ours.tree)
    changes = trees.changes(trees.reader(db), fork.tree, theirs.tree)
    theirs_changed = [(path, _file(was), _file(now)) for path, was, now in changes]
    mine_at = trees.find_each(db, ours.tree, (path for path, _, _ in theirs_changed))
    # Removals first: a folder may have made way for a file of its name.
    for path, was, now in sorted(theirs_changed, key=lambda change: change[2] is not None):
        mine = _file(mine_at[path])
        if mine == now:
            continue
        if mine != was:
            raise ConflictError(f"both sides changed {path}")
        if now is None:
            draft.remove(path, a_folder=False)
        else:
            draft.put(path, now)
    repos.touch(db, repo)
    return history.add(db, repo, ref, draft.save() or trees.save(db, {}), ours.oid, author, message)


def squash(db: sqlite3.Connection, repo: Repo, branch: str, author: str, message: str) -> Commit:
    """Replaces a branch's history by one commit that holds its files."""
    ref = history.branch_of(db, repo, branch)
    head = history.resolve(db, repo, ref)
    return history.add(db, repo, ref, head.tree, None, author, message)


def _file(entry: Entry | None) -> Entry | None:
    return None if entry is None or entry.is_folder else entry


def _apply(db: sqlite3.Connection, large: LargeFiles, draft: trees.Draft, operation: Operation) -> None:
    match operation:
        case PutSmall(path, content):
            if path == "README.md":
                cards.check(content.decode(errors="replace"))
            draft.put(path, Entry(FILE, blobs.add_small(db, content)))
        case PutLarge(path, sha256, size):
            stored = large.size(sha256)
            if stored is None:
                raise BadRequestError(f"{path}: its content (sha256 {sha256}) was never uploaded")
            if size is not None and size != stored:
                raise BadRequestError(f"{path}: {size} bytes announced, {stored} bytes stored")
            large.settle(sha256)
            draft.put(path, Entry(FILE, blobs.add_large(db, sha256, stored)))
        case Remove(path, a_folder):
            draft.remove(path, a_folder)
