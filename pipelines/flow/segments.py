"""A stretch of the journal: rows as JSON lines, and an index of those that are on the disk for sure.

    00000001.jsonl   a row a line, with the folder and the language it belongs to
    00000001.index   the form of its rows, and of each row its key, its bytes and what its column `passed` says

By the index a million rows are known without being read. It is written behind the rows, after each time that these
were brought to the disk, so what a process or a machine left broken can only be lines that the index does not name.
"""

import os
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from pipelines.facts import Counts
from pipelines.ids import Keys, Mask

LINES, INDEX = ".jsonl", ".index"
FORM = 16
"""Bytes of what says how rows look (`records.digest` of their schema): those of another version are read one by one."""
_ENTRY = struct.Struct("<QI?")
_ENTRIES = np.dtype([("key", "<u8"), ("bytes", "<u4"), ("passed", "?")])


class Segment:
    """One that is being written. `counts` is what its rows count as, `longest` its longest line in bytes."""

    def __init__(self, path: Path, form: str) -> None:
        self.path, self.rows, self.size, self.longest = path, 0, 0, 0
        self._counts = dict[str, dict[str, int]]()
        self._lines, self._index = _created(path), _created(path.with_suffix(INDEX))
        os.write(self._index, form.encode())
        self._waiting, self._indexed = bytearray(), FORM
        self._guard, self._syncing = threading.Lock(), threading.Lock()
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    @property
    def counts(self) -> Counts:
        return self._counts

    def append(self, line: bytes, key: int, passed: bool, counts: Counts) -> None:
        """OSError where the disk refuses; the segment is then as it was."""
        with self._guard:
            _append(self._lines, line, self.size)
            self._waiting += _ENTRY.pack(key, len(line), passed)
            self.rows, self.size, self.longest = self.rows + 1, self.size + len(line), max(self.longest, len(line))
            for language, steps in counts.items():
                total = self._counts.setdefault(language, {})
                for step, count in steps.items():
                    total[step] = total.get(step, 0) + count

    def sync(self) -> None:
        """Bring all lines to the disk, and then into the index. OSError where the disk refuses."""
        with self._syncing:
            with self._guard:
                entries = bytes(self._waiting)
            if entries:
                os.fdatasync(self._lines)
                _append(self._index, entries, self._indexed)
                self._indexed += len(entries)
                with self._guard:
                    del self._waiting[: len(entries)]

    def close(self) -> None:
        with self._syncing:
            os.close(self._lines)
            os.close(self._index)


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index of a segment says: its rows, and where the lines end that it names."""

    keys: Keys
    passed: Mask
    longest: int
    end: int


NOTHING = Indexed(np.empty(0, np.uint64), np.empty(0, bool), 0, 0)


def indexed(path: Path, form: str) -> Indexed:
    """Nothing where the index does not fit the lines, or is of rows in another form."""
    index = path.with_suffix(INDEX)
    content = index.read_bytes() if index.exists() else b""
    whole = (len(content) - FORM) // _ENTRIES.itemsize
    if whole <= 0 or content[:FORM] != form.encode():
        return NOTHING
    found = np.frombuffer(content, _ENTRIES, whole, FORM)
    ends = np.cumsum(found["bytes"], dtype=np.int64)
    good = int(np.argmin(np.append((found["bytes"] > 0) & (ends <= path.stat().st_size), False)))
    if not good or not _ends_a_line(path, int(ends[good - 1])):
        return NOTHING
    found = found[:good]
    longest, end = int(found["bytes"].max()), int(ends[good - 1])
    return Indexed(found["key"].astype(np.uint64), cast(Mask, found["passed"].copy()), longest, end)


def left(folder: Path) -> list[Path]:
    """Those that are there, in the order in which they were written."""
    for index in folder.glob(f"*{INDEX}"):
        if not index.with_suffix(LINES).exists():  # its process died while it removed both
            index.unlink()
    return sorted(folder.glob(f"*{LINES}"))


def remove(path: Path) -> None:
    """The lines first: an index without them says nothing."""
    path.unlink(missing_ok=True)
    path.with_suffix(INDEX).unlink(missing_ok=True)


def _ends_a_line(path: Path, end: int) -> bool:
    with path.open("rb") as lines:
        lines.seek(end - 1)
        return lines.read(1) == b"\n"


def _append(file: int, content: bytes, size: int) -> None:
    """All of it to a file of this size, or nothing."""
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
