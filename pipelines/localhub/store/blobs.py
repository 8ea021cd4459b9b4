"""File contents: small ones in the database, large ones by their sha256, both under git's blob id."""

import sqlite3
from collections.abc import Iterable
from json import dumps
from typing import NamedTuple

from pipelines.localhub.store.objects import object_id, pointer


class Blob(NamedTuple):
    oid: str
    size: int
    sha256: str | None
    """Set when the content is a large file."""

    @property
    def etag(self) -> str:
        """What the clients name their cached copy by, and compare local files with."""
        return self.sha256 or self.oid


def add_small(db: sqlite3.Connection, content: bytes) -> str:
    oid = object_id("blob", content)
    db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?, NULL, ?)", (oid, len(content), content))
    return oid


def add_large(db: sqlite3.Connection, sha256: str, size: int) -> str:
    """Named by the hash of its pointer, as in git. Pointer text committed as a small file gives way to it."""
    oid = object_id("blob", pointer(sha256, size))
    db.execute(
        "INSERT INTO blob VALUES (?, ?, ?, NULL) ON CONFLICT (oid) DO UPDATE SET size = excluded.size,"
        " sha256 = excluded.sha256, content = NULL WHERE sha256 IS NULL",
        (oid, size, sha256),
    )
    return oid


def describe(db: sqlite3.Connection, oids: Iterable[str]) -> dict[str, Blob]:
    rows = db.execute(
        "SELECT oid, size, sha256 FROM blob WHERE oid IN (SELECT value FROM json_each(?))", (dumps(list(oids)),)
    )
    return {row["oid"]: Blob(row["oid"], row["size"], row["sha256"]) for row in rows}


def small_content(db: sqlite3.Connection, oid: str) -> bytes | None:
    row = db.execute("SELECT content FROM blob WHERE oid = ?", (oid,)).fetchone()
    return row["content"] if row else None
