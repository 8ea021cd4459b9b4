"""The rows that no commit holds yet, on this machine's disk, so that a process that dies loses none of them.

    FOLDER/lock       held by the process at work
    FOLDER/00000001   a segment (`segments`): rows as lines, and their index

A line is handed to the operating system before its row counts as made, and is on the disk within SYNC seconds: `kill
-9` loses nothing, a power cut no more than that. A checkpoint takes whole segments, and they are deleted once the
Hub has acknowledged its commit. So a row is in a segment, or on the Hub, or for a moment in both, and never in none.
"""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Literal

from pydantic import ValidationError, create_model

from pipelines.errors import StageError
from pipelines.facts import Counts
from pipelines.flow import segments
from pipelines.flow.items import Placed, R
from pipelines.flow.segments import LINES, Segment
from pipelines.ids import IdSet, key
from pipelines.parquet import arrow_schema
from pipelines.records import digest
from pipelines.run import cache

SYNC = 0.25


class Journal(Generic[R]):
    """`longest` is the longest line so far, in bytes; `damaged` counts the lines that could not be read."""

    def __init__(self, folder: Path, record: type[R], lasting: bool = True) -> None:
        """`lasting`: whether lines have to survive a power cut. A StageError says where nothing can be written, and
        where another process is at work."""
        self.folder, self.damaged, self._longest = folder, 0, 0
        self.scratch = folder / "parts"
        self._entry: Any = create_model("Entry", folder=Literal["data", "rejected"], language=str, row=record)
        self._form = digest(str(arrow_schema(record)))
        self._heads = dict[tuple[str, str], bytes]()
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            self._left = segments.left(folder)
            shutil.rmtree(self.scratch, ignore_errors=True)
            self._closed = dict[Path, tuple[int, Counts | None]]()
            self._number = max((int(path.stem) for path in self._left), default=0)
            self._guard, self._ended = threading.Lock(), threading.Event()
            self._error: OSError | None = None
            self._segment = self._next()
        self._syncing = threading.Thread(target=self._sync_often, daemon=True) if lasting else None
        if self._syncing:
            self._syncing.start()

    @property
    def waiting(self) -> int:
        """How many rows wait for a commit."""
        return self._segment.rows + sum(rows for rows, _ in self._closed.values())

    @property
    def longest(self) -> int:
        return max(self._longest, self._segment.longest)

    def write(self, placed: Placed[R], counts: Counts) -> None:
        """Keep a row, and what it counts as; pydantic's ValueError where it cannot be written as JSON."""
        place, row = (placed.folder, placed.language), placed.row
        if place not in self._heads:
            self._heads[place] = f'{{"folder":{json.dumps(place[0])},"language":{json.dumps(place[1])},"row":'.encode()
        # what model_dump_json does, without the way from UTF-8 to text and back, which takes twice as long as the rest
        line = self._heads[place] + row.__pydantic_serializer__.to_json(row) + b"}\n"
        with told(self.folder), self._guard:
            if self._error:
                raise self._error
            self._segment.append(line, key(row.id), getattr(row, "passed", None) is True, counts)

    def take_up(self, done: IdSet, passed: IdSet, add: Callable[[Placed[R]], None]) -> None:
        """What earlier processes left here and is not `done` yet, which then holds it, and `passed` what passed.

        Segments stay as they are, where all that their index names is missing; other lines are read, and added anew
        where their rows are missing. What a process did not write to its end is left out and will be made again.
        """
        for path in self._left:
            with told(self.folder):
                found = segments.indexed(path, self._form)
                missing = ~done.holds(found.keys)
                whole = bool(missing.size and missing.all())
                if whole:
                    self._closed[path] = len(found.keys), None
                    self._longest = max(self._longest, found.longest)
                    done.update(found.keys)
                    passed.update(found.keys[found.passed])
                for placed in self._lines(path, 0 if missing.any() and not whole else found.end):
                    one = key(placed.row.id)
                    if done.add(one):
                        add(placed)
                        if getattr(placed.row, "passed", None):
                            passed.add(one)
                self._segment.sync()
                if whole:
                    os.truncate(path, found.end)
                else:
                    segments.remove(path)
        self._left = []

    def clear(self) -> None:
        """What earlier processes left here is not wanted."""
        for path in self._left:
            segments.remove(path)
        self._left = []

    def cut(self) -> dict[Path, Counts | None]:
        """Begin a new segment; all those before it, which wait for a commit, with what their rows count as: None where
        that was not counted here."""
        with told(self.folder):
            full = None
            with self._guard:
                if self._segment.rows:
                    full, self._segment = self._segment, self._next()
                    self._closed[full.path] = full.rows, full.counts
                    self._longest = max(self._longest, full.longest)
            if full:
                full.sync()
                full.close()
        return {path: counts for path, (_, counts) in self._closed.items()}

    def forget(self, paths: Iterable[Path]) -> None:
        """The Hub has these rows."""
        for path in paths:
            segments.remove(path)
            self._closed.pop(path, None)

    def close(self) -> None:
        self._ended.set()
        if self._syncing:
            self._syncing.join()
        with suppress(OSError):  # a disk that is full: the lines are read one by one next time
            self._segment.sync()
        self._segment.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self._segment.rows:
            segments.remove(self._segment.path)
        if {path.name for path in self.folder.iterdir()} <= {"lock"}:
            discard(self.folder)
        os.close(self._lock)

    def _lines(self, path: Path, start: int) -> Iterator[Placed[R]]:
        with path.open("rb") as lines:
            lines.seek(start)
            for line in lines:
                try:
                    entry = self._entry.model_validate_json(line)
                except ValidationError:
                    self.damaged += 1
                    continue
                yield Placed(entry.row, entry.language, entry.folder)

    def _next(self) -> Segment:
        self._number += 1
        return Segment(self.folder / f"{self._number:08}{LINES}", self._form)

    def _sync_often(self) -> None:
        while not self._ended.wait(SYNC):
            try:
                self._segment.sync()
            except OSError as error:
                self._error = error  # whoever writes next has to tell


def folder(endpoint: str, repo: str) -> Path:
    """Where the journals of a repo are."""
    return cache("journals") / f"{repo.replace('/', '--')}-{digest(endpoint)}"


def others(own: Path) -> list[Path]:
    """Journals of the same repo and stage that hold rows."""
    stage = own.name.split("-")[0]
    return sorted({path.parent for path in own.parent.glob(f"{stage}-*/*{LINES}") if path.stat().st_size} - {own})


def discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """A disk that refuses is one line."""
    try:
        yield
    except OSError as error:
        raise StageError(
            f"{folder}: {error.strerror or error}: make room or set THINKIN_CACHE to another folder, then run it "
            "again; what was made is kept"
        ) from None


def _locked(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise StageError(
            f"another process on this machine does the same work ({path.parent}): wait for it, or give each its --shard"
        ) from None
    return file
