"""Giving room back: what no branch, tag or pull request needs any more is dropped."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.localhub.hub import UPLOAD_SECONDS, own
from pipelines.localhub.store.database import PRAGMAS, snapshot
from pipelines.localhub.store.largefiles import SHA256
from pipelines.localhub.upkeep.needed import Needed, needed


@dataclass(frozen=True)
class Dropped:
    commits: int
    objects: int
    """Small files and folders."""
    large_files: int
    bytes: int
    """How much smaller the data folder is."""


def collect(data: Path) -> Dropped:
    """Drops commits that nothing leads to, what only they need, and uploads that no commit took up in time.

    An upload that no commit ever named is kept for as long as its link would live, since its commit may be on its
    way. Rows go before the large files that they name: whenever this is interrupted, what is left is whole, and at
    worst some files are left that a later run takes for abandoned uploads. Xorbs go, too: no commit needs them, and
    the clients send them once more. Only where the disk is too full to write does the order have to be the other one.

    Raises ServedError when another process serves the folder, RuntimeError when there is none or it is damaged.
    """
    database = data / "hub.sqlite"
    with snapshot(database):  # before the lock, whose file would turn any folder into one of ours
        owner = own(data)
    try:
        before = _size(data)
        with snapshot(database) as db:
            keep = needed(db)
            abandoned, unneeded = _unwanted(db, data / "lfs", keep)
        _unlink(abandoned)
        _drop_xorbs(data)
        try:
            commits, objects = _drop_rows(database, keep)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            _unlink(unneeded)  # the room that it takes to write that they are gone
            commits, objects = _drop_rows(database, keep)
        _unlink(unneeded)
        _shrink(database)
        return Dropped(commits, objects, len(abandoned) + len(unneeded), before - _size(data))
    finally:
        os.close(owner)


def _drop_xorbs(data: Path) -> None:
    """All at once, as the clients rely on, and with whatever else lies aside."""
    aside = data / "tmp"
    aside.mkdir(exist_ok=True)
    for store in (data / "xet").glob("*"):
        store.rename(aside / store.name)
    shutil.rmtree(aside)


def _unwanted(db: sqlite3.Connection, lfs: Path, keep: Needed) -> tuple[list[Path], list[Path]]:
    """Large files that no commit ever named, past their time, and those that no commit needs any more."""
    committed: dict[str, bool] = {}
    for oid, sha256 in db.execute("SELECT oid, sha256 FROM blob WHERE sha256 IS NOT NULL"):
        committed[sha256] = committed.get(sha256, False) or oid in keep.blobs
    files = [path for path in lfs.glob("??/??/*") if SHA256.fullmatch(path.name)]
    too_old = time.time() - UPLOAD_SECONDS
    abandoned = [path for path in files if path.name not in committed and path.stat().st_mtime < too_old]
    return abandoned, [path for path in files if committed.get(path.name) is False]


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _drop_rows(database: Path, keep: Needed) -> tuple[int, int]:
    """How many commits and how many objects were dropped."""
    with _opened(database) as db:
        commits = set(db.execute("SELECT repo, oid FROM history")) - keep.commits
        trees = set(db.execute("SELECT oid FROM tree")) - {(oid,) for oid in keep.trees}
        blobs = set(db.execute("SELECT oid FROM blob")) - {(oid,) for oid in keep.blobs}
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log grows by what is dropped
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM history WHERE repo = ? AND oid = ?", commits)
        db.executemany("DELETE FROM tree WHERE oid = ?", trees)
        db.executemany("DELETE FROM blob WHERE oid = ?", blobs)
        db.execute("COMMIT")
    return len(commits), len(trees) + len(blobs)


def _shrink(database: Path) -> None:
    """Closing folds the write-ahead log into the file, too."""
    with _opened(database) as db:
        db.execute("VACUUM")


def _opened(database: Path) -> closing[sqlite3.Connection]:
    db = sqlite3.connect(database, isolation_level=None)
    db.executescript(PRAGMAS)
    return closing(db)


def _size(data: Path) -> int:
    return sum(path.lstat().st_size for path in data.rglob("*") if path.is_file())
