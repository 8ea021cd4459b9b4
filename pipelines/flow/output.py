"""A repo while one stage writes it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress, islice
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from pipelines import facts
from pipelines.errors import HubAway, StageError
from pipelines.facts import Counts, Facts, Input
from pipelines.flow import journal as journals
from pipelines.flow import parts
from pipelines.flow.budget import Cap
from pipelines.flow.items import Item, Placed, R, T
from pipelines.flow.journal import Journal
from pipelines.flow.ledger import Ledger
from pipelines.flow.pace import Pace
from pipelines.flow.parts import Part
from pipelines.flow.publisher import End, Publisher
from pipelines.flow.spending import Meter
from pipelines.flow.wanted import Wanted
from pipelines.ids import key
from pipelines.recipe import Engine, Stage
from pipelines.records import Failure
from pipelines.run import Run

if TYPE_CHECKING:  # a stage that asks no model needs no client
    from pipelines.llm import Door

LOOKED_UP = 128
"""Items of which it is found out together whether they are there."""
STAGED = 10_000
"""Rows of a file, where all are published at once."""


class Output(Generic[R]):
    """A data-set repo while one stage writes it.

    `counts` tells what rows count as, for the card; it is added up row by row. `failures` are those of this run.
    """

    def __init__(
        self,
        run: Run,
        stage: Stage,
        repo: str,
        record: type[R],
        inputs: Sequence[Input],
        counts: Callable[[Iterable[R]], Counts],
    ) -> None:
        self.run, self.stage, self.repo, self.record, self.counts = run, stage, repo, record, counts
        self.ledger = Ledger()
        self.publisher = Publisher(run, stage, repo, record, inputs, counts, self.ledger)
        self.branch, self.name = self.publisher.branch, self.publisher.name
        self.instructions = self.publisher.instructions
        self.expected = 0
        """How many rows are left to make, about."""
        self.failures: list[Failure] = []
        self.cap, self._heeded = Cap(run, stage, self.publisher.taken), False
        self._wanted = Wanted(run.shard)
        self._journal: Journal[R] | None = None
        self._whole = False
        self._staged = list[Part]()
        self._checkpointed = time.monotonic()
        self._pace = Pace(run.shard.of, time.monotonic())
        self._committing = asyncio.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ledger.close()
        if self._journal:
            self._journal.close()

    @property
    def journal(self) -> Journal[R]:
        assert self._journal
        return self._journal

    # --- before the work

    def up_to_date(self) -> bool:
        """Whether an earlier run made all this from the same inputs, and lacks nothing."""
        done = self.branch.facts
        if not done or done.failures or not self._finished(done):
            return False
        journals.discard(self._folder)
        self.run.screen.say(f"{self.name}: {self.repo} is up to date, nothing to do")
        return True

    def open(self, items: Iterable[Item[T]], expected: int = 0) -> Iterator[Item[T]]:
        """What of `items` is not there yet, as far as it belongs to this shard; `expected` is about how many there are.

        Rows that a changed recipe no longer asks for leave the branch with the last commit; its history keeps them.
        A run that is limited to a few rows removes none.
        """
        self._begin(lasting=True)
        published = self.branch.load()
        self._wanted.done.update(published)
        self.branch.count(len(published), self.publisher.digest, self.counts, self.record)
        self._take_up()
        languages = self.run.recipe.languages
        there = sum(len(keys) for path, keys in self.branch.keys.items() if path.split("/")[1] in languages)
        there += self.journal.waiting
        if isinstance(items, Sequence):
            expected, there = len(items), sum(key(item.id) in self._wanted.done for item in items)
        self.expected = max(0, expected - there) // self.run.shard.of
        self._say(expected, min(there, expected))
        return self.pending(items)

    def restart(self) -> None:
        """Replace all that is published, in one commit: for a stage whose every row depends on all the others."""
        self._begin(lasting=False)
        self._whole = True
        self.journal.clear()

    def used(self, door: "Door", engine: Engine) -> None:
        """Count what goes through this door, and name its model and what its server does in the facts."""
        self.ledger.meters.append(Meter(door, engine, self.run.recipe.prices))
        if door.contract:
            self.publisher.contracts[engine.model] = door.contract
        self.publisher.models[engine.model] = Input(
            repo=engine.model, kind="model", revision=door.revision or engine.revision or ""
        )

    def _finished(self, done: Facts) -> bool:
        return self.publisher.same(done) and (done.complete or str(self.run.shard) in done.shards)

    def _begin(self, lasting: bool) -> None:
        """What can go wrong before anything is paid for goes wrong here: a price, a card, the repo, the journal."""
        self.cap.open()
        for line in facts.moved(self.branch.facts.inputs, self.publisher.inputs) if self.branch.facts else ():
            self.run.screen.say(f"{self.name}: {line}")
        self.publisher.try_card()
        self.branch.create(self.run.recipe.private)
        self._journal = Journal(self._folder, self.record, lasting)
        told = self.branch.facts
        self.ledger.open(self._folder, told.ledgers if told and told.digest == self.publisher.digest else {})

    @property
    def _folder(self) -> Path:
        shard = self.run.shard
        name = f"{self.stage}-{self.publisher.digest}-{shard.index}-of-{shard.of}"
        return journals.folder(self.run.hub.api.endpoint, self.repo) / name

    def _take_up(self) -> None:
        """Rows that a process on this machine made and did not publish."""
        self.journal.take_up(self._wanted.done, self.branch.passed, self.add)
        taken, damaged = self.journal.waiting, self.journal.damaged
        if taken or damaged:
            note = f", {damaged} damaged lines are left out" if damaged else ""
            self.run.screen.say(f"{self.name}: {taken} rows taken up from this machine's journal{note}")
        for other in journals.others(self._folder):
            self.run.screen.say(f"{self.name}: {other} holds rows of another recipe or shard: run that again for them")

    def _say(self, total: int, there: int) -> None:
        before = self.branch.facts
        if before and before.digest != self.publisher.digest:
            note = f"the recipe changed since the last run; up to {there} of {total} rows are still good"
        elif there:
            note = f"resuming, {there} of {total} rows are there"
        else:
            note = f"{total} rows to make"
        self.run.screen.say(f"{self.name}: {self.repo}: {note}")

    def pending(self, items: Iterable[Item[T]]) -> Iterator[Item[T]]:
        """The same for items that are thought of later."""
        source = iter(items)
        while some := list(islice(source, LOOKED_UP)):
            missing = self._wanted.missing(some)
            if missing.any():
                self._heed_budget()
            yield from compress(some, missing.tolist())

    def _heed_budget(self) -> None:
        """Where nothing is left of the budget before the first item, no server is started."""
        over, self._heeded = "" if self._heeded else self.cap.over(), True
        if over:
            self.leave()
            raise self.cap.spent(over)

    def passed(self, name: str) -> bool | None:
        """What the row's column `passed` says; None where there is no such row yet."""
        one = key(name)
        return one in self.branch.passed if one in self._wanted.done else None

    # --- during the work

    def add(self, placed: Placed[R]) -> None:
        self.ledger.write()
        self.journal.write(placed, self.counts([placed.row]))
        if self._whole and self.journal.waiting >= STAGED:
            self._stage()

    def failed(self, failure: Failure) -> None:
        self.ledger.write()
        self.failures.append(failure)

    def holds_rows(self) -> bool:
        """Whether any row was made, by this run or by one before."""
        return bool(self.journal.waiting or self.branch.parts())

    def due(self) -> bool:
        limits, now = self.run.recipe.checkpoints, time.monotonic()
        late = now - self._checkpointed >= limits.minutes * 60
        enough = self.journal.waiting >= limits.rows or (late and self.journal.waiting > 0)
        return enough and self._pace.ready(now)

    async def checkpoint_if_due(self) -> None:
        """Publish, if it is time to; those who come meanwhile do not wait for it."""
        if not self._committing.locked() and self.due():
            async with self._committing:
                await _to_the_end(self.checkpoint)

    def checkpoint(self) -> None:
        """Publish what is there; the facts say that it is not all. While the Hub is away, the journal keeps it."""
        if not self.journal.waiting:
            return
        self._pace.spend()
        try:
            self._publish(None)
        except HubAway as away:
            self._pace.rest()
            self.run.screen.say(f"{self.name}: {away}; until then the rows are kept in {self._folder}")

    def leave(self) -> None:
        """Publish what is there before an error ends the stage; where that fails, too, the journal keeps it."""
        try:
            self.checkpoint()
        except StageError as error:
            self.run.screen.say(f"{self.name}: {error}")

    # --- after the work

    def finish(self, details: Callable[[Iterator[R]], Mapping[str, Any]] = lambda _: {}) -> Facts:
        """Publish all that is left, with the failures, the facts and the card; nothing where nothing changed.

        `details` are worked out from all rows, and only where this completes the stage: other shards may be at work.
        """
        if self.failures:
            reasons = Counter(failure.error for failure in self.failures).most_common(3)
            story = ", ".join(f"{count} x {reason}" for reason, count in reasons)
            self.run.screen.say(
                f"{self.name}: {len(self.failures)} samples failed ({story}); run it again to retry them"
            )
        end = End(self._wanted.asked, self._wanted.mine, self.failures, details, self.journal.scratch)
        done = self.branch.facts
        new = self.journal.waiting or self.ledger.owes()
        if not done or not self._finished(done) or new or self.publisher.changes(end):
            done = self._publish(end)
        if not done.complete:
            self.run.screen.say(f"{self.name}: done; the stage is complete when all shards are")
        return done

    def finish_whole(
        self, counts: Counts, details: Mapping[str, Any], beside: Mapping[str, Path] = MappingProxyType({})
    ) -> Facts:
        """Replace what was published by what was added since `restart`, and by files that are made from that."""
        self._stage()
        return self.publisher.replace(self._staged, counts, details, beside)

    def all_rows(self) -> Iterator[R]:
        """The rows that are published."""
        return self.branch.rows(self.record)

    def _publish(self, end: End[R] | None) -> Facts:
        segments, journal = self.journal.cut(), self.journal
        counted = [counts for counts in segments.values() if counts is not None]
        waiting = facts.sum_of(counted) if len(counted) == len(segments) else None
        told = self.publisher.publish(
            lambda landed: parts.write(segments, self.record, journal.longest, journal.scratch, landed), waiting, end
        )
        journal.forget(segments)
        self._checkpointed = time.monotonic()
        return told

    def _stage(self) -> None:
        """Make parts of what is there, for the commit that holds all of them."""
        segments = self.journal.cut()
        self._staged += parts.write(segments, self.record, self.journal.longest, self.journal.scratch)
        self.journal.forget(segments)


async def _to_the_end(work: Callable[[], None]) -> None:
    """Run in a thread, and wait for it even when cancelled: a commit under way cannot be broken off, and the one that
    follows a cancellation must not meet it."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
