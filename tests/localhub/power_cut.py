"""A disk that forgets: what would be left of a data folder if the power were cut now.

`serve_recorded` serves a folder and writes down, beside it, what has been synced: a file's content when the file was,
a folder's names when the folder was, the database after each COMMIT (SQLite syncs its own files; that it is told to is
a test of its own). `rebuild` makes the data folder of after the power cut from it: a synced name of a file whose
content never was is an empty file, and what stands in no synced folder is gone.
"""

import fcntl
import json
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.localhub import serve

DATABASE = ("hub.sqlite", "hub.sqlite-wal")


def records_of(data: Path) -> Path:
    return data.with_name(f"{data.name}-synced")


@contextmanager
def at_rest(records: Path) -> Iterator[None]:
    """No record is half written meanwhile."""
    with (records / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def record(data: Path) -> None:
    """From now on this process writes down whatever it syncs."""
    records = records_of(data)
    (records / "database").mkdir(parents=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.fsync = _recorded(records, os.fsync)
    for place in (data, *data.rglob("*")) if data.exists() else ():  # what is there is on the disk
        os.fsync(os.open(place, os.O_RDONLY))

    class Recording(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            done = super().execute(sql, *values)
            if sql == "COMMIT":
                with at_rest(records):
                    for name in DATABASE:
                        shutil.copyfile(data / name, records / "database" / name)
            return done

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=Recording)  # type: ignore[assignment]


def _recorded(records: Path, sync: Callable[[int], None]) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        os.dup(descriptor)  # stays open, so that no other file gets this one's number
        inode = os.fstat(descriptor).st_ino
        names, content = records / f"{inode}.json", records / f"{inode}.content"
        with at_rest(records):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                names.write_text(
                    json.dumps({entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(descriptor)})
                )
            else:
                shutil.copyfile(f"/proc/self/fd/{descriptor}", content)
            sync(descriptor)

    return fsync


def rebuild(data: Path, target: Path) -> None:
    """The state after the power cut, in a new folder."""
    records = records_of(data)
    with at_rest(records):
        _rebuild_folder(records, data.stat().st_ino, target)
        for name in DATABASE:
            shutil.copyfile(records / "database" / name, target / name)


def _rebuild_folder(records: Path, inode: int, target: Path) -> None:
    target.mkdir()
    names = records / f"{inode}.json"
    for name, (below, is_folder) in json.loads(names.read_text()).items() if names.exists() else ():
        if is_folder:
            _rebuild_folder(records, below, target / name)
        elif (records / f"{below}.content").exists():
            shutil.copyfile(records / f"{below}.content", target / name)
        else:
            (target / name).touch()


def serve_recorded(data: Path, token: str, user: str) -> None:
    record(data)
    serve(data, "127.0.0.1", 0, token, user, lambda url: print(url, flush=True))
