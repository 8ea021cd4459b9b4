"""What a stage has spent, kept on this machine's disk with each row and each failure, so that a process that dies takes
none of it along.

    FOLDER/ledger   the ledger's name; then its entries, a line each: all that was spent since it was begun

Before a commit an entry gets a number, its mark, and the facts in the commit name ledger and mark: so it is known
afterwards what they count already, even where nobody saw the commit succeed.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from pipelines import facts
from pipelines.facts import Spent
from pipelines.flow import journal
from pipelines.flow.spending import Meter
from pipelines.records import Record

FILE = "ledger"
MOST = 2_000
"""Entries after which the file is written anew, with those alone that matter."""


class Entry(Record):
    """By model what was spent, and the seconds at work. `mark` is 0 where no commit was to tell of it."""

    mark: int = 0
    seconds: float = 0.0
    spent: tuple[Spent, ...] = ()

    def since(self, before: "Entry") -> "Entry":
        known = {one.model: one for one in before.spent}
        spent = tuple(one.plus(known[one.model], -1) if one.model in known else one for one in self.spent)
        return Entry(mark=self.mark, seconds=self.seconds - before.seconds, spent=spent)


NOTHING = Entry()


class _Name(Record):
    ledger: str


@dataclass
class Ledger:
    """`meters` are those of this process; `name` is what facts know the ledger by."""

    meters: list[Meter] = field(default_factory=list[Meter])
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    _before: Entry = NOTHING
    _told: Entry = NOTHING
    _marked: list[Entry] = field(default_factory=list[Entry])
    _path: Path | None = None
    _file: int = -1
    _entries: int = 0
    _began: float = field(default_factory=time.monotonic)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def open(self, folder: Path, told: Mapping[str, int]) -> None:
        """Go on with the ledger that earlier processes left in `folder`; `told` are the marks in the facts."""
        self._path = folder / FILE
        lines = list(_read(self._path))
        self.name = next((line.ledger for line in lines if isinstance(line, _Name)), self.name)
        entries = [line for line in lines if isinstance(line, Entry)]
        self._before = entries[-1] if entries else NOTHING
        self._marked = [entry for entry in entries if entry.mark]
        self._told = next((entry for entry in self._marked if entry.mark == told.get(self.name)), NOTHING)
        self._rewrite()

    def mine(self) -> list[Spent]:
        """What this process has spent."""
        return list(facts.by_model(meter.read() for meter in self.meters).values())

    def untold(self) -> Entry:
        """What no facts count yet."""
        return self._now().since(self._told)

    def write(self) -> None:
        """Keep what has been spent by now. StageError where the disk refuses."""
        if self._path and self.meters:
            self._append(self._now())

    def mark(self) -> Entry:
        """All that the facts of the next commit count, told apart by its mark."""
        with self._guard:
            entry = self._now(mark=1 + max((one.mark for one in self._marked), default=0))
            self._marked.append(entry)
            self._append(entry)
        return entry

    def due(self, entry: Entry) -> Entry:
        """What of it no facts count yet."""
        return entry.since(self._told)

    def landed(self, entry: Entry) -> None:
        """The facts that count this entry are on the Hub."""
        with self._guard:
            self._told, self._marked = entry, [entry]
            self._rewrite()

    def owes(self) -> bool:
        """Whether requests were answered that no facts count yet."""
        return any(one.usage.requests for one in self.untold().spent)

    def close(self) -> None:
        """What all is counted on the Hub is not kept here."""
        if self._path:
            os.close(self._file)
            if not self.owes():
                self._path.unlink()
            self._path = None

    def _now(self, mark: int = 0) -> Entry:
        spent = facts.by_model(self._before.spent, (meter.read() for meter in self.meters))
        seconds = self._before.seconds + time.monotonic() - self._began
        return Entry(mark=mark, seconds=seconds, spent=tuple(spent.values()))

    def _append(self, entry: Entry) -> None:
        if not self._path:
            return
        with self._guard, journal.told(self._path.parent):
            os.write(self._file, _line(entry))
            self._entries += 1
            if self._entries >= MOST:
                self._rewrite()

    def _rewrite(self) -> None:
        if not self._path:
            return
        with self._guard, journal.told(self._path.parent):
            new = self._path.with_suffix(".new")
            new.write_bytes(b"".join(map(_line, (_Name(ledger=self.name), *self._marked, self._now()))))
            new.replace(self._path)
            if self._file >= 0:
                os.close(self._file)
            self._file, self._entries = os.open(self._path, os.O_WRONLY | os.O_APPEND), 0


def _line(record: Record) -> bytes:
    return record.model_dump_json().encode() + b"\n"


def _read(path: Path) -> Iterator[Entry | _Name]:
    """All but a line that its process did not finish."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        for form in (Entry, _Name):
            try:
                yield form.model_validate_json(line)
            except ValidationError:
                continue
