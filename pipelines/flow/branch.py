"""A repo's newest commit, as far as it is known here, and the ids of the rows in it."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pipelines import facts, ids
from pipelines.errors import PublishConflict
from pipelines.facts import Counts, Facts
from pipelines.flow.items import FOLDERS, R
from pipelines.hub import Hub, Snapshot
from pipelines.ids import IdSet, Keys


class Branch:
    """`keys` has the ids of each part that was there when the stage began or was written by it; `counts` are those of
    all rows of the branch."""

    def __init__(self, hub: Hub, repo: str, stage: str) -> None:
        self.hub, self.repo, self.stage = hub, repo, stage
        self.snapshot = hub.snapshot(repo, "dataset", stage)
        self.keys = dict[str, Keys]()
        self.passed = IdSet()
        """The rows whose column `passed` says yes."""
        self.counts: Counts = {}

    @property
    def head(self) -> Snapshot:
        assert self.snapshot
        return self.snapshot

    @property
    def facts(self) -> Facts | None:
        return self.snapshot.facts if self.snapshot else None

    def create(self, private: bool) -> None:
        if self.snapshot is None:
            self.hub.create(self.repo, "dataset", private)
            self.snapshot = self.hub.snapshot(self.repo, "dataset", self.stage)

    def load(self) -> Keys:
        """All ids that are there."""
        read = list(self._read(self.parts()))
        self.keys = {path: keys for path, keys, _ in read}
        self.passed.update(np.concatenate([np.empty(0, np.uint64), *(passed for *_, passed in read)]))
        return np.concatenate([np.empty(0, np.uint64), *self.keys.values()])

    def count(self, rows: int, digest: str, counted: Callable[[Iterable[R]], Counts], record: type[R]) -> None:
        """What its rows count as: as the facts say, unless those are of another recipe or of other rows."""
        told = self.facts
        if told and told.digest == digest and facts.rows(told.counts, told.counts) == rows:
            self.counts = told.counts
        elif rows:
            self.counts = counted(self.rows(record))

    def parts(self) -> list[str]:
        return [path for folder in FOLDERS for path in self.head.parts(folder)]

    def rows(self, record: type[R], without: Iterable[str] = ()) -> Iterator[R]:
        """All rows but those of some parts."""
        left_out = set(without)
        files = tuple(file for file in self.head.files if file not in left_out)
        kept = Snapshot(self.repo, "dataset", self.head.revision, files, None)
        for folder in FOLDERS:
            yield from self.hub.rows(kept, record, folder)

    def catch_up(self, digest: str) -> Keys:
        """Go to the commit that the branch is at by now; the ids that came with those in between.

        A run of another recipe at the same time is a PublishConflict: neither may take the other's rows away.
        """
        before, self.snapshot = self.head, self.hub.snapshot(self.repo, "dataset", self.stage)
        found = self.facts
        if found != before.facts:
            if found is None or found.digest != digest:
                raise PublishConflict(f"{self.repo} is written by another recipe, too: run one after the other")
            self.counts = found.counts
        new = set(self.parts()).difference(before.files)
        return np.concatenate([np.empty(0, np.uint64), *(keys for _, keys, _ in self._read(sorted(new)))])

    def move(self, revision: str, files: tuple[str, ...], facts: Facts, keys: dict[str, Keys]) -> None:
        """To the commit that was just made."""
        self.snapshot = Snapshot(self.repo, "dataset", revision, files, facts)
        self.keys |= keys
        self.counts = facts.counts

    def _read(self, parts: list[str]) -> Iterator[tuple[str, Keys, Keys]]:
        for path, table in self.hub.columns(self.head, parts, ["id", "passed"]):
            keys = ids.keys(table["id"].to_pylist())
            passed = table["passed"].to_pylist() if "passed" in table.column_names else [False] * len(keys)
            yield path, keys, keys[np.array([one is True for one in passed], bool)]
