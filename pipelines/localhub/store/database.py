"""The SQLite file: schema, snapshots to read from, one writer at a time.

WAL lets readers go on while a commit is written; synchronous=FULL makes a COMMIT that returned survive a power
cut. Writers queue on a lock of our own, because SQLite's busy handler polls and starves.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Folders of thousands of files are long rows: larger pages and rarer checkpoints keep committing to them quick.
PRAGMAS = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
PRAGMA wal_autocheckpoint = 2000;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA busy_timeout = 10000;
"""

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL, role TEXT NOT NULL, created_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS repo (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    private INTEGER NOT NULL, gated TEXT, created_at REAL NOT NULL, modified_at REAL NOT NULL,
    UNIQUE (kind, namespace, name));
CREATE TABLE IF NOT EXISTS blob (oid TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT, content BLOB);
CREATE TABLE IF NOT EXISTS tree (oid TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS history (
    repo INTEGER NOT NULL REFERENCES repo ON DELETE CASCADE, oid TEXT NOT NULL, tree TEXT NOT NULL, parent TEXT,
    author TEXT NOT NULL, created_at INTEGER NOT NULL, message TEXT NOT NULL, PRIMARY KEY (repo, oid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ref (
    repo INTEGER NOT NULL REFERENCES repo ON DELETE CASCADE, name TEXT NOT NULL, head TEXT NOT NULL,
    PRIMARY KEY (repo, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS discussion (
    repo INTEGER NOT NULL REFERENCES repo ON DELETE CASCADE, num INTEGER NOT NULL, title TEXT NOT NULL,
    author TEXT NOT NULL, created_at REAL NOT NULL, status TEXT NOT NULL, base TEXT, merged TEXT,
    PRIMARY KEY (repo, num)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES repo ON DELETE CASCADE, num INTEGER NOT NULL,
    type TEXT NOT NULL, author TEXT NOT NULL, created_at REAL NOT NULL, data TEXT NOT NULL);
"""


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """An existing database as it is now, to be read beside the process that serves it.

    Raises RuntimeError when there is none, or one of another version.
    """
    if not path.is_file():
        raise RuntimeError(f"{path.parent} holds no Hub: {path.name} is not there")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        _version(connection, path, (VERSION,))
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def _version(connection: sqlite3.Connection, path: Path, readable: tuple[int, ...]) -> int:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in readable:
        raise RuntimeError(f"{path} has format {version}, this program reads format {VERSION}")
    return version


class Database:
    """One connection per thread; threads are few, and a connection is not to be shared."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._writer = threading.Lock()
        connection = self._connection()
        if _version(connection, path, (0, VERSION)) == 0:  # a start writes no more than it must: the disk may be full
            connection.executescript(f"{SCHEMA} PRAGMA user_version = {VERSION};")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.executescript(PRAGMAS)
            self._local.connection = connection
        return connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A snapshot: a commit landing in the middle of a request is not half seen."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; once this returns, it is on the disk."""
        connection = self._connection()
        with self._writer:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
