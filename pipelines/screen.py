"""What a person sees while a stage works: a bar on a terminal, a line every so often where there is none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 15.0
"""Seconds between two lines of progress where the output is no terminal."""


class Bar(Protocol):
    """Progress of one long step. `advance` counts what is done; `note` is the short text behind the bar."""

    def advance(self, count: int = 1, note: str = "") -> None: ...


@dataclass
class Screen:
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator["Bar"]:
        if not self.console.is_terminal:
            lines = _Lines(self, label, total)
            yield lines
            lines.finish()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield _Terminal(progress, label, total)


class _Terminal(Bar):
    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self.progress = progress
        self.task = progress.add_task(label, total=total, note="", rate="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self.progress.advance(self.task, count)
        speed = self.progress.tasks[0].finished_speed or self.progress.tasks[0].speed
        self.progress.update(self.task, note=note, rate=_rate(speed or 0.0))


class _Lines(Bar):
    def __init__(self, screen: Screen, label: str, total: int) -> None:
        self.screen, self.label, self.total = screen, label, total
        self.done, self.note = 0, ""
        self.start = self.last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            self._line()

    def finish(self) -> None:
        if self.done:
            self._line()

    def _line(self) -> None:
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        remaining = f", {left:.0f} s left" if self.done < self.total else ""
        self.screen.say(f"{self.label}: {self.done}/{self.total}, {_rate(rate)}{remaining} {self.note}".rstrip())


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{per_second * 60:.1f}/min"
