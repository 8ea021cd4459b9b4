"""Where questions come from: Hub data sets, reasoning_gym tasks, and our own word problems.

Used by *prompts* for training and by *evaluate* for benchmarks, so that both see an item in the same way.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipelines.errors import StageError, Unavailable
from pipelines.facts import Input
from pipelines.hub import Hub
from pipelines.recipe import GymSource, HubSource, ProblemSource, Source

GYM_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its text in each language that the source has it in. `row` is its place in the source."""

    dataset: str
    revision: str
    family: str
    row: str
    texts: Mapping[str, str]
    gold: str | None

    @property
    def language(self) -> str:
        """The language to translate from: English where there is an English text."""
        return GYM_LANGUAGE if GYM_LANGUAGE in self.texts else next(iter(self.texts))


def items(source: Source, language: str, seed: int, hub: Hub) -> Iterator[Item]:
    """The items of a source for one wanted language, the same ones in the same order for the same seed."""
    match source:
        case HubSource():
            return _from_hub(source, language, seed, hub)
        case GymSource():
            return _from_gym(source, seed)
        case ProblemSource():
            return _from_problems(source, seed)


def revision(source: HubSource, hub: Hub) -> Input:
    """The data set at the commit that is read now; Unavailable where this token cannot read it."""
    name = hub.repo(source.id)
    return Input(repo=name, kind="dataset", revision=hub.revision(name, "dataset", source.revision))


def _from_hub(source: HubSource, language: str, seed: int, hub: Hub) -> Iterator[Item]:
    read = revision(source, hub)
    rows = table(source, read, language)
    for column in filter(None, (source.text, source.gold)):
        if column not in rows.column_names:
            raise StageError(f"{source.id} has no column {column!r}; it has: {', '.join(rows.column_names)}")
    own = source.language.format(language=language)
    family = (source.config or source.id).format(language=language)
    order = rows.add_column("row", [str(number) for number in range(len(rows))]).shuffle(seed=seed)
    for row in islice(order, source.rows):
        yield Item(read.repo, read.revision, family, row["row"], {own: row[source.text]}, _gold(source, row))


def table(source: HubSource, read: Input, language: str) -> Any:
    """The rows of the wanted language, as a `datasets.Dataset`."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    named = {"config": source.config, "split": source.split, "files": source.files}
    told = {key: text.format(language=language) for key, text in named.items() if text is not None}
    try:
        found: Any = datasets.load_dataset(
            read.repo,
            told.get("config"),
            data_files=told.get("files"),
            split=told.get("split"),
            revision=read.revision,
        )
    except (DatasetNotFoundError, RuntimeError) as error:  # absent or gated; a program that `datasets` no longer runs
        raise Unavailable(f"{source.id}: {' '.join(str(error).split())}") from None
    except (ValueError, FileNotFoundError) as error:
        where = " and ".join(told) or "config"
        raise StageError(f"{source.id}: {' '.join(str(error).split())}: check {where}") from None
    if source.split is None:
        if len(found) != 1:
            raise StageError(f"{source.id} has several splits, name one: {', '.join(found)}")
        (found,) = found.values()
    if not len(found):
        raise StageError(f"{source.id} ({', '.join(told.values()) or 'default'}) holds no rows")
    return found


def _gold(source: HubSource, row: Mapping[str, Any]) -> str | None:
    if source.gold is None or row[source.gold] is None:
        return None
    value = str(row[source.gold])
    if source.gold_pattern is None:
        return value.strip()
    found = re.search(source.gold_pattern, value)
    return found[1].strip() if found else None


def _from_gym(source: GymSource, seed: int) -> Iterator[Item]:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if source.task not in DATASETS:
        raise StageError(f"reasoning_gym has no task {source.task!r}; it has: {', '.join(sorted(DATASETS))}")
    try:
        task = reasoning_gym.create_dataset(
            source.task, **{"size": source.rows, "seed": seed + source.seed, **source.settings}
        )
    except (TypeError, AssertionError) as error:
        raise StageError(f"reasoning_gym does not take these settings for {source.task}: {error}") from None
    for row, entry in enumerate(task):
        texts = {GYM_LANGUAGE: entry["question"].strip()}
        name = f"reasoning_gym/{source.task}"
        yield Item(name, reasoning_gym.__version__, source.task, f"{seed + source.seed}:{row}", texts, entry["answer"])


def _from_problems(source: ProblemSource, seed: int) -> Iterator[Item]:
    from pipelines import problems

    try:
        stream = problems.problems(source.families or problems.FAMILIES, seed + source.seed)
    except ValueError as error:
        raise StageError(str(error)) from None
    for row, problem in enumerate(islice(stream, source.rows)):
        place = f"{seed + source.seed}:{row}"
        yield Item("thinkin/problems", "", problem.family, place, problem.texts, problem.gold)
