"""What the repos need: all that can be reached from a branch, a tag or a pull request."""

import sqlite3
from dataclasses import dataclass, field

from pipelines.localhub.store.objects import decode_tree, object_id


@dataclass
class Needed:
    commits: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    """Each with its repo's key."""
    trees: set[str] = field(default_factory=set[str])
    blobs: set[str] = field(default_factory=set[str])


def needed(db: sqlite3.Connection) -> Needed:
    """Raises RuntimeError when something on the way is missing or wrong: what is behind it cannot be known."""
    found = Needed()
    for repo, head in db.execute("SELECT repo, head FROM ref").fetchall():
        oid: str | None = head
        while oid is not None and (repo, oid) not in found.commits:
            tree, parent = _one(db, "SELECT tree, parent FROM history WHERE repo = ? AND oid = ?", (repo, oid))
            found.commits.add((repo, oid))
            _add_tree(db, tree, found)
            oid = parent
    return found


def _add_tree(db: sqlite3.Connection, oid: str, found: Needed) -> None:
    pending = [oid]
    while pending:
        tree = pending.pop()
        if tree in found.trees:
            continue
        found.trees.add(tree)
        (content,) = _one(db, "SELECT content FROM tree WHERE oid = ?", (tree,))
        if object_id("tree", content) != tree:
            raise RuntimeError(f"the Hub is damaged: the folder {tree} is not the one that was committed")
        for entry in decode_tree(content).values():
            if entry.is_folder:
                pending.append(entry.oid)
            else:
                found.blobs.add(entry.oid)


def _one(db: sqlite3.Connection, query: str, values: tuple[int | str, ...]) -> sqlite3.Row:
    row = db.execute(query, values).fetchone()
    if row is None:
        raise RuntimeError(f"the Hub is damaged: {values[-1]} is missing")
    return row
