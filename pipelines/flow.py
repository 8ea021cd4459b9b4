"""Bounded concurrency, resume, checkpoints, progress and failures: how items become rows of a repo.

    output = Output(run, "generate", repo, Candidate, inputs)
    pending = output.open(items)            # all that is wanted; back comes what is not there yet
    await each(pending, step, 8, output)    # publishes a checkpoint every so often
    output.finish(counts)                   # the rest, the failures, the facts and the card: one commit

An item's id is the id of its row, so what is published already is never done again, on whatever machine.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines import cards, facts, recipe
from pipelines.errors import SampleError, StageError
from pipelines.facts import Facts, Input, Usage
from pipelines.hub import Snapshot, part
from pipelines.llm import Door
from pipelines.recipe import Engine, Stage
from pipelines.records import Failure, Row
from pipelines.run import Run

T = TypeVar("T")
R = TypeVar("R", bound=Row)
FOLDERS = ("data", "rejected")
HOPELESS = 20
"""So many failures without one success end the stage: the fault is in the server or the recipe."""


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    id: str
    language: str
    value: T


@dataclass(frozen=True, slots=True)
class Placed(Generic[R]):
    """A row and where it belongs: `data`, or `rejected`."""

    row: R
    language: str
    folder: str = "data"


class Output(Generic[R]):
    """A data-set repo while one stage writes it."""

    def __init__(self, run: Run, stage: Stage, repo: str, record: type[R], inputs: Sequence[Input]) -> None:
        self.run, self.stage, self.repo, self.record, self.inputs = run, stage, repo, record, tuple(inputs)
        self.digest = run.recipe.digest(stage)
        self.snapshot = run.hub.snapshot(repo, "dataset", stage)
        before = self.before
        same = before if before and before.digest == self.digest else None
        self.doors: list[Door] = []
        self.models = {model.repo: model for model in same.models} if same else {}
        self.instructions = set(same.instructions) if same else set[str]()
        self._spent_before = same.usage if same else Usage()
        self._seconds_before = same.seconds if same else 0.0
        self.rows: list[Placed[R]] = []
        self.failures: list[Failure] = []
        self._replaced: set[str] = set()
        self._started = self._published = time.monotonic()
        self._committing = asyncio.Lock()

    @property
    def before(self) -> Facts | None:
        return self.snapshot.facts if self.snapshot else None

    def up_to_date(self) -> bool:
        """Whether an earlier run made all this from the same inputs, and lacks nothing."""
        done = self.before
        if not done or not done.complete or done.failures or not self._same(done):
            return False
        self.run.screen.say(f"{self.stage}: {self.repo} is up to date, nothing to do")
        return True

    def _same(self, done: Facts) -> bool:
        return (done.digest, done.inputs) == (self.digest, self.inputs)

    def open(self, items: Sequence[Item[T]]) -> list[Item[T]]:
        """What of `items` is not published yet.

        Rows that a changed recipe no longer asks for leave the branch with the next commit; its history keeps them.
        A run that is limited to a few rows removes none.
        """
        self._opened()
        wanted, done = {item.id for item in items}, set[str]()
        for folder in FOLDERS:
            for path, ids in self._ids(folder).items():
                done |= ids
                if ids - wanted and self.run.recipe.limit is None:
                    self._replaced.add(path)
        pending = [item for item in items if item.id not in done]
        self._keep(wanted)
        self._say(len(items), len(pending))
        return pending

    def _opened(self) -> Snapshot:
        """The repo as it is, created where it is not there yet."""
        # a card that cannot be written must show before anything is paid for
        cards.data_card(self.run, self.repo, self._facts(complete=False, counts={}, details={}), [])
        if self.snapshot is None:
            self.run.hub.create(self.repo, "dataset", self.run.recipe.private)
            self.snapshot = self.run.hub.snapshot(self.repo, "dataset", self.stage)
        assert self.snapshot
        return self.snapshot

    def _ids(self, folder: str) -> Mapping[str, set[str]]:
        assert self.snapshot
        ids = self.run.hub.ids(self.snapshot, folder)
        return {path: found for path, found in ids.items() if path.split("/")[1] in self.run.recipe.languages}

    def _keep(self, wanted: set[str]) -> None:
        """Carry the rows that are still wanted over from the parts that will be replaced."""
        assert self.snapshot
        for path in self._replaced:
            folder, language, _ = path.split("/")
            only = Snapshot(self.repo, "dataset", self.snapshot.revision, (path,), None)
            kept = (row for row in self.run.hub.rows(only, self.record, folder) if row.id in wanted)
            self.rows += [Placed(row, language, folder) for row in kept]

    def _say(self, total: int, pending: int) -> None:
        there, before = total - pending, self.before
        if before and before.digest != self.digest:
            note = f"the recipe changed since the last run; {there} of {total} rows are still good"
        elif there:
            note = f"resuming, {there} of {total} rows are there"
        else:
            note = f"{total} rows to make"
        self.run.screen.say(f"{self.stage}: {self.repo}: {note}")

    def restart(self) -> None:
        """Replace all that is published: for a stage whose every row depends on all the others."""
        snapshot = self._opened()
        self._replaced = {path for folder in FOLDERS for path in snapshot.parts(folder)}

    def used(self, door: Door, engine: Engine) -> None:
        """Count what goes through this door, and name its model in the facts."""
        self.doors.append(door)
        self.models[engine.model] = Input(
            repo=engine.model, kind="model", revision=door.revision or engine.revision or ""
        )

    def add(self, placed: Placed[R]) -> None:
        self.rows.append(placed)

    def holds_rows(self) -> bool:
        """Whether any row was made, by this run or by one before."""
        return bool(self.rows) or bool(self.snapshot and any(self.snapshot.parts(folder) for folder in FOLDERS))

    def due(self) -> bool:
        limits = self.run.recipe.checkpoints
        late = time.monotonic() - self._published >= limits.minutes * 60
        return len(self.rows) >= limits.rows or (late and bool(self.rows))

    async def checkpoint_if_due(self) -> None:
        async with self._committing:
            if self.due():
                await _to_the_end(self.checkpoint)

    def checkpoint(self) -> None:
        """Publish what is there; the facts say that it is not all."""
        if self.rows:
            self._commit(self._facts(complete=False, counts={}, details={}), f"{self.stage}: checkpoint")

    def finish(
        self, counts: Callable[[Iterable[R]], Mapping[str, Mapping[str, int]]], details: Mapping[str, Any] | None = None
    ) -> Facts:
        """Publish all that is left, with the failures, the facts and the card; nothing where nothing changed."""
        if self.failures:
            reasons = Counter(failure.error for failure in self.failures).most_common(3)
            story = ", ".join(f"{count} x {reason}" for reason, count in reasons)
            self.run.screen.say(
                f"{self.stage}: {len(self.failures)} samples failed ({story}); run it again to retry them"
            )
        done = self.before
        changed = self.rows or self._replaced or not done or done.failures != len(self.failures)
        if done and done.complete and self._same(done) and not changed:
            return done
        final = self._facts(complete=True, counts=counts(self.all_rows()), details=details or {})
        self._commit(final, f"{self.stage}: complete")
        return final

    def all_rows(self) -> Iterator[R]:
        """The published rows that stay, then those still unpublished."""
        assert self.snapshot
        stay = tuple(file for file in self.snapshot.files if file not in self._replaced)
        kept = Snapshot(self.repo, "dataset", self.snapshot.revision, stay, None)
        published = (self.run.hub.rows(kept, self.record, folder) for folder in FOLDERS)
        return chain(chain.from_iterable(published), (placed.row for placed in self.rows))

    def _facts(self, complete: bool, counts: Mapping[str, Mapping[str, int]], details: Mapping[str, Any]) -> Facts:
        return Facts(
            stage=self.stage,
            recipe=self.run.recipe.name,
            digest=self.digest,
            complete=complete,
            failures=len(self.failures),
            inputs=self.inputs,
            models=tuple(self.models.values()),
            instructions=tuple(sorted(self.instructions)),
            counts=counts,
            usage=reduce(Usage.plus, (door.usage for door in self.doors), self._spent_before),
            seconds=self._seconds_before + time.monotonic() - self._started,
            updated=facts.now(),
            machine=facts.machine(),
            source=facts.source(),
            details=details,
        )

    def _commit(self, told: Facts, message: str) -> None:
        assert self.snapshot
        files: dict[str, bytes | Path] = {}
        taken = list(self.rows)  # more may be added while these are being published
        for (folder, language), rows in _grouped(taken).items():
            path, content = part(folder, self.record, rows, language)
            files[path] = content
        delete = set(self._replaced)
        if told.complete:
            delete |= set(self.snapshot.parts("failures"))
            for language, failures in _by_language(self.failures).items():
                path, content = part("failures", Failure, failures, language)
                files[path] = content
        delete = {path for path in delete if path in self.snapshot.files} - files.keys()
        left = [file for file in (*self.snapshot.files, *files) if file not in delete]
        files["run/recipe.yaml"] = recipe.dump(self.run.recipe).encode()
        files[f"run/{self.stage}.json"] = told.model_dump_json(indent=1).encode()
        files["README.md"] = cards.data_card(self.run, self.repo, told, left).encode()
        revision = self.run.hub.publish(self.repo, "dataset", message, files, sorted(delete), self.snapshot.revision)
        self.snapshot = Snapshot(self.repo, "dataset", revision, tuple(dict.fromkeys([*left, *files])), told)
        del self.rows[: len(taken)]
        self._replaced = set()
        self._published = time.monotonic()


async def each(
    items: Sequence[Item[T]],
    step: Callable[[T], Awaitable[Placed[R]]],
    parallel: int,
    output: Output[R],
    label: str | None = None,
) -> None:
    """Run `step` on every item, `parallel` at a time. What was made is published even when the run is broken off."""
    waiting = iter(items)
    failed_in_a_row, failed_before = 0, len(output.failures)

    async def work() -> None:
        nonlocal failed_in_a_row
        for item in waiting:
            try:
                output.add(await step(item.value))
                failed_in_a_row = 0
            except SampleError as error:
                output.failures.append(_failure(item, output.stage, error))
                failed_in_a_row += 1
                if failed_in_a_row >= HOPELESS:
                    raise StageError(f"{failed_in_a_row} samples failed in a row, last with: {error}") from None
            bar.advance(note=f"{len(output.failures)} failed" if output.failures else "")
            await output.checkpoint_if_due()

    with output.run.screen.bar(label or output.stage, len(items)) as bar:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(parallel, len(items))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            output.checkpoint()
            raise errors.exceptions[0] from None
        except asyncio.CancelledError:
            output.checkpoint()
            raise
    if items and len(output.failures) - failed_before == len(items) and not output.holds_rows():
        raise StageError(f"all {len(items)} samples failed, last with: {output.failures[-1].message}")


async def _to_the_end(work: Callable[[], None]) -> None:
    """Run in a thread, and wait for it even when cancelled: a commit under way cannot be broken off, and the one that
    follows a cancellation must not meet it."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _failure(item: Item[Any], stage: str, error: SampleError) -> Failure:
    return Failure(
        id=item.id, stage=stage, language=item.language, error=error.reason, message=str(error), attempts=error.attempts
    )


def _grouped(rows: Iterable[Placed[R]]) -> dict[tuple[str, str], list[R]]:
    groups: dict[tuple[str, str], list[R]] = {}
    for placed in rows:
        groups.setdefault((placed.folder, placed.language), []).append(placed.row)
    return groups


def _by_language(failures: Iterable[Failure]) -> dict[str, list[Failure]]:
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(failure.language, []).append(failure)
    return groups
