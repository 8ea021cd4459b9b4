"""The rows that no commit holds yet, on this machine's disk, so that a process that dies loses none of them.

    FOLDER/lock              held by the process at work
    FOLDER/00000001.jsonl    a segment: a row a line, with the folder and the language it belongs to

A line is handed to the operating system before its row counts as made, and is on the disk within SYNC seconds: `kill
-9` loses nothing, a power cut no more than that. A checkpoint takes whole segments, and they are deleted once the
Hub has acknowledged its commit. So a row is in a segment, or on the Hub, or for a moment in both, and never in none.
"""

import fcntl
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal

from pydantic import ValidationError, create_model

from pipelines.errors import StageError
from pipelines.facts import Counts
from pipelines.flow.items import Placed, R
from pipelines.records import digest
from pipelines.run import cache

SYNC = 0.25
SEGMENT = "*.jsonl"


class Journal(Generic[R]):
    """`left` are the segments of earlier processes; `longest` is the longest line so far, in bytes."""

    def __init__(self, folder: Path, record: type[R], lasting: bool = True) -> None:
        """`lasting`: whether lines have to survive a power cut. A StageError says where nothing can be written, and
        where another process is at work."""
        self.folder, self.longest, self.damaged = folder, 0, 0
        self.scratch = folder / "parts"
        self._entry: Any = create_model("Entry", folder=Literal["data", "rejected"], language=str, row=record)
        self._heads = dict[tuple[str, str], bytes]()
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            self.left = sorted(folder.glob(SEGMENT))
            shutil.rmtree(self.scratch, ignore_errors=True)
            self._closed = dict[Path, _Tally]()
            self._number = max((int(path.stem) for path in self.left), default=0)
            self._guard, self._ended = threading.Lock(), threading.Event()
            self._error: OSError | None = None
            self._begin()
        self._syncing = threading.Thread(target=self._sync_often, daemon=True) if lasting else None
        if self._syncing:
            self._syncing.start()

    @property
    def waiting(self) -> int:
        """How many rows wait for a commit."""
        return self._tally.rows + sum(tally.rows for tally in self._closed.values())

    def write(self, placed: Placed[R], counts: Counts) -> None:
        """Keep a row, and what it counts as; pydantic's ValueError where it cannot be written as JSON."""
        place = placed.folder, placed.language
        if place not in self._heads:
            self._heads[place] = f'{{"folder":{json.dumps(place[0])},"language":{json.dumps(place[1])},"row":'.encode()
        line = self._heads[place] + placed.row.model_dump_json().encode() + b"}\n"
        with told(self.folder), self._guard:
            if self._error:
                raise self._error
            self._append(line)
            self._tally.add(counts)
            self.longest = max(self.longest, len(line))

    def replay(self) -> Iterator[Placed[R]]:
        """What earlier processes left here. A line that was being written when its process died is left out, and its
        row will be made again; `damaged` counts them."""
        for segment in self.left:
            with segment.open("rb") as lines:
                for line in lines:
                    try:
                        entry = self._entry.model_validate_json(line)
                    except ValidationError:
                        self.damaged += 1
                        continue
                    yield Placed(entry.row, entry.language, entry.folder)

    def cut(self) -> dict[Path, Counts]:
        """Begin a new segment; all those before it, which wait for a commit, with what their rows count as."""
        with told(self.folder):
            full = None
            with self._guard:
                if self._tally.rows:
                    full = self._file
                    self._closed[self._path] = self._tally
                    self._begin()
            if full is not None:
                os.fdatasync(full)
                os.close(full)
        return {path: tally.counts for path, tally in self._closed.items()}

    def forget(self, segments: Iterable[Path]) -> None:
        """The Hub has these rows."""
        for segment in segments:
            segment.unlink(missing_ok=True)
            self._closed.pop(segment, None)

    def close(self) -> None:
        self._ended.set()
        if self._syncing:
            self._syncing.join()
        os.close(self._file)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self._size:
            self._path.unlink(missing_ok=True)
        if not any(self.folder.glob(SEGMENT)):
            discard(self.folder)
        os.close(self._lock)

    def _begin(self) -> None:
        self._number += 1
        self._path, self._tally = self.folder / f"{self._number:08}.jsonl", _Tally()
        self._size = self._synced = 0
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        names = os.open(self.folder, os.O_RDONLY)
        os.fsync(names)
        os.close(names)

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _sync_often(self) -> None:
        while not self._ended.wait(SYNC):
            with self._guard:
                if self._synced == self._size:
                    continue
                file, self._synced = os.dup(self._file), self._size
            try:
                os.fdatasync(file)
            except OSError as error:
                self._error = error  # whoever writes next has to tell
            finally:
                os.close(file)


@dataclass
class _Tally:
    rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, counts: Counts) -> None:
        self.rows += 1
        for language, steps in counts.items():
            self.counts.setdefault(language, Counter()).update(steps)


def folder(endpoint: str, repo: str) -> Path:
    """Where the journals of a repo are."""
    return cache("journals") / f"{repo.replace('/', '--')}-{digest(endpoint)}"


def others(own: Path) -> list[Path]:
    """Journals of the same repo and stage that hold rows."""
    stage = own.name.split("-")[0]
    return sorted({path.parent for path in own.parent.glob(f"{stage}-*/{SEGMENT}") if path.stat().st_size} - {own})


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
