"""The commits of a stage: rows, failures, facts and card, worked out anew on top of what the branch holds by now."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic

from pipelines import cards, facts, plots, recipe
from pipelines.errors import PublishConflict
from pipelines.facts import Contract, Counts, Facts, Input, Past, Spent, Usage, added, all_shards
from pipelines.flow import parts
from pipelines.flow.branch import Branch
from pipelines.flow.items import R
from pipelines.flow.ledger import Entry, Ledger
from pipelines.flow.parts import Part
from pipelines.hub import part
from pipelines.ids import IdSet, key, keys
from pipelines.recipe import Stage
from pipelines.records import Failure
from pipelines.run import Run

RACES = 10
"""So often a commit is put on top of what others committed just before it."""


@dataclass(frozen=True, slots=True)
class End(Generic[R]):
    """What only the last commit of a stage knows: all ids that were asked for, those of this shard, what failed, what
    the facts are to hold beside the counts, given all rows, and a folder to write in."""

    asked: IdSet
    mine: IdSet
    failures: Sequence[Failure]
    details: Callable[[Iterator[R]], Mapping[str, Any]]
    scratch: Path


@dataclass(frozen=True, slots=True)
class Change:
    """`parts` are the files of rows among `files`; `left` are all files afterwards; `entry` is that of the ledger up to
    which the facts count."""

    facts: Facts
    entry: Entry
    files: Mapping[str, bytes | Path]
    delete: Sequence[str]
    left: Sequence[str]
    parts: Sequence[Part]


class Publisher(Generic[R]):
    """`models`, `contracts` and `instructions` are what this run used, for the facts."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        repo: str,
        record: type[R],
        inputs: Sequence[Input],
        counts: Callable[[Iterable[R]], Counts],
        ledger: Ledger,
    ) -> None:
        self.run, self.stage, self.repo, self.record, self.inputs = run, stage, repo, record, tuple(inputs)
        self.counts, self.ledger = counts, ledger
        self.digest = run.recipe.digest(stage)
        self.branch = Branch(run.hub, repo, stage)
        self.models: dict[str, Input] = {}
        self.contracts: dict[str, Contract] = {}
        self.instructions = set[str]()
        self._licences: dict[Input, dict[str, str]] = {}

    @property
    def name(self) -> str:
        """The stage, with the shard where there is more than one."""
        return self.stage if self.run.shard.of == 1 else f"{self.stage} {self.run.shard}"

    def same(self, done: Facts) -> bool:
        """Whether these facts are those of the same work on the same inputs."""
        return (done.digest, done.inputs) == (self.digest, self.inputs)

    def try_card(self) -> None:
        """A card that cannot be written must show before anything is paid for."""
        cards.data_card(self.run, self.repo, self._facts(Entry(), {}, ()), [])

    def publish(self, made: Callable[[IdSet], list[Part]], counts: Counts | None, end: End[R] | None = None) -> Facts:
        """Add rows to the branch; with `end` all that belongs to the last commit. `made` makes the parts, without the
        rows of a set: those that are there already, because a commit of a process that died was still on its way.
        `counts` are those of the rows, as far as they are known."""
        return self._commit(lambda landed: self._addition(made(landed), counts, landed, end), end is not None)

    def replace(
        self, ready: list[Part], counts: Counts, details: Mapping[str, Any], beside: Mapping[str, Path]
    ) -> Facts:
        """Make the branch hold these rows alone, and `beside` them the same in other formats."""
        return self._commit(lambda _: self._replacement(ready, counts, details, beside), complete=True)

    def _commit(self, change: Callable[[IdSet], Change], complete: bool) -> Facts:
        landed = IdSet()
        for attempt in range(RACES):
            last = change(landed)
            message = f"{self.name}: {'complete' if complete else 'checkpoint'}"
            head = self.branch.head.revision
            try:
                revision = self.run.hub.publish(self.repo, "dataset", message, last.files, last.delete, head)
            except PublishConflict:
                if attempt + 1 == RACES:
                    raise
                landed.update(self.branch.catch_up(self.digest))
                time.sleep(random.uniform(0, min(30, 2**attempt)))  # noqa: S311 - so that racers part
            else:
                self.ledger.landed(last.entry)
                self.branch.move(revision, tuple(last.left), last.facts, {one.path: one.keys for one in last.parts})
                return last.facts
        raise AssertionError("unreachable")

    def _addition(self, ready: list[Part], counts: Counts | None, landed: IdSet, end: End[R] | None) -> Change:
        if counts is None or landed:
            counts = self.counts(parts.rows(ready, self.record))
        total, delete, failures = added(self.branch.counts, counts), set[str](), list[Failure]()
        before = self.branch.facts
        done = set(before.shards) if before and self.same(before) else set[str]()
        if end is None:
            return self._change(ready, total, done - {str(self.run.shard)}, delete, None, {})
        for path in self.unwanted(end.asked):
            kept, dropped = self._without_unwanted(path, end)
            ready, total = [*ready, *kept], added(total, dropped, -1)
            delete.add(path)
        failures = self._failures(end)
        done.add(str(self.run.shard))
        details: Mapping[str, Any] = {}
        if all_shards(done):
            details = end.details(chain(self.branch.rows(self.record, delete), parts.rows(ready, self.record)))
        return self._change(ready, total, done, delete, failures, details)

    def _replacement(
        self, ready: list[Part], counts: Counts, details: Mapping[str, Any], beside: Mapping[str, Path]
    ) -> Change:
        old = {file for file in self.branch.head.files if file.endswith(".parquet")}
        return self._change(ready, counts, {str(self.run.shard)}, old, [], details, beside)

    def _change(
        self,
        ready: list[Part],
        counts: Counts,
        shards: set[str],
        delete: set[str],
        failures: list[Failure] | None,
        details: Mapping[str, Any],
        beside: Mapping[str, Path] = MappingProxyType({}),
    ) -> Change:
        """`failures` replace those of the branch, unless None."""
        head, told = self.branch.head, self.branch.facts
        files: dict[str, bytes | Path] = {**{one.path: one.file for one in ready}, **beside}
        if failures is not None:
            delete |= set(head.parts("failures"))
            files |= dict(part("failures", Failure, rows, language) for language, rows in _by_language(failures))
        delete |= plots.CAPTIONS.keys()
        delete = {path for path in delete if path in head.files} - files.keys()
        left = [file for file in dict.fromkeys((*head.files, *files)) if file not in delete]
        number = len(failures) if failures is not None else told.failures if told else 0
        entry = self.ledger.mark()
        made = self._facts(entry, counts, shards, number, details)
        drawn = plots.files(made) if made.complete else {}
        delete -= drawn.keys()
        files |= drawn
        files["run/recipe.yaml"] = recipe.dump(self.run.recipe).encode()
        files[f"run/{self.stage}.json"] = made.model_dump_json(indent=1).encode()
        before = self.run.hub.card(head)
        files["README.md"] = cards.data_card(self.run, self.repo, made, [*left, *drawn], before).encode()
        left = list(dict.fromkeys((*left, *files)))
        return Change(made, entry, files, sorted(delete), left, ready)

    def taken(self) -> tuple[list[Spent], list[Spent], float]:
        """What this process has spent; what the stage has, others and earlier runs with it; and its seconds at work."""
        before, untold = self._before, self.ledger.untold()
        spent = [*(before.spent if before else ()), *untold.spent]
        return self.ledger.mine(), spent, untold.seconds + (before.seconds if before else 0.0)

    @property
    def _before(self) -> Facts | None:
        """The facts on the branch, where they are of the same recipe."""
        told = self.branch.facts
        return told if told and told.digest == self.digest else None

    def _facts(
        self,
        entry: Entry,
        counts: Counts,
        shards: Iterable[str],
        failures: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> Facts:
        """What the ledger's entry has and no facts count yet comes on top of those of the same recipe on the branch."""
        before, due = self._before, self.ledger.due(entry)
        ledgers = dict(before.ledgers) if before else {}
        models = {model.repo: model for model in before.models} if before else {}
        contracts = {contract.model: contract for contract in before.contracts} if before else {}
        total = facts.by_model(before.spent if before else (), due.spent)
        return Facts(
            stage=self.stage,
            recipe=self.run.recipe.name,
            digest=self.digest,
            complete=all_shards(shards),
            failures=failures,
            inputs=self.inputs,
            models=tuple((models | self.models).values()),
            contracts=tuple((contracts | self.contracts).values()),
            instructions=tuple(sorted(self.instructions.union(before.instructions if before else ()))),
            shards=tuple(sorted(shards)),
            counts=counts,
            usage=reduce(Usage.plus, (one.usage for one in total.values()), Usage()),
            spent=tuple(total.values()),
            seconds=due.seconds + (before.seconds if before else 0.0),
            ledgers=ledgers | ({self.ledger.name: entry.mark} if entry.mark else {}),
            **facts.here(),
            licences=self._inherited((*self.inputs, *(models | self.models).values())),
            history=self._history,
            details=details or {},
        )

    @cached_property
    def _history(self) -> tuple[Past, ...]:
        return self.run.hub.history(self.inputs)

    def _inherited(self, reads: Iterable[Input]) -> dict[str, str]:
        for read in reads:
            if read not in self._licences:
                self._licences[read] = self.run.hub.licences(read)
        return {repo: said for read in reads for repo, said in self._licences[read].items()}

    def changes(self, end: End[R]) -> bool:
        """Whether rows would have to go, or failures come or go."""
        told = self.branch.facts
        return bool(self.unwanted(end.asked)) or len(self._failures(end)) != (told.failures if told else 0)

    def unwanted(self, asked: IdSet) -> list[str]:
        """The parts with rows that nobody asked for; none where a run is limited to a few rows."""
        recipe = self.run.recipe
        return [
            path
            for path, there in self.branch.keys.items()
            if recipe.limit is None and path.split("/")[1] in recipe.languages and path in self.branch.head.files
            if not asked.holds(there).all()
        ]

    def _without_unwanted(self, path: str, end: End[R]) -> tuple[list[Part], Counts]:
        """The part with its wanted rows alone, unless there are none; and what the others counted as."""
        folder, language, _ = path.split("/")
        wanted, dropped = list[R](), list[R]()
        for row in self.run.hub.part_rows(self.branch.head, path, self.record):
            (wanted if key(row.id) in end.asked else dropped).append(row)
        if not wanted:
            return [], self.counts(dropped)
        new, content = part(folder, self.record, wanted, language)
        file = end.scratch / new.replace("/", ".")
        file.write_bytes(content)
        return [Part(new, file, keys([row.id for row in wanted]))], self.counts(dropped)

    def _failures(self, end: End[R]) -> list[Failure]:
        """Those of this run, and those that are none of its business."""
        recipe = self.run.recipe

        def stays(failure: Failure) -> bool:
            one = key(failure.id)
            here = recipe.limit is None and failure.language in recipe.languages
            return one not in end.mine and (one in end.asked or not here)

        return [*filter(stays, self.run.hub.rows(self.branch.head, Failure, "failures")), *end.failures]


def _by_language(failures: Iterable[Failure]) -> Iterator[tuple[str, list[Failure]]]:
    rows = list(failures)
    for language in dict.fromkeys(failure.language for failure in rows):
        yield language, [failure for failure in rows if failure.language == language]
