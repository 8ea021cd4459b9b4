"""What an evaluation asks: the items of the recipe's benchmarks in each language, and what of them cannot be had.

Used by *evaluate* to ask them, and by *choose* to keep them out of what is trained on.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from string import Template

from pipelines import sources
from pipelines.answers.numbers import value
from pipelines.contamination import Index
from pipelines.errors import Unavailable
from pipelines.facts import Input
from pipelines.recipe import Benchmark, HubSource
from pipelines.records import Record
from pipelines.run import Run

ENGLISH = "en"


class Skipped(Record):
    """What is not asked, and why, for a person: a whole benchmark, or the items of one language."""

    benchmark: str
    language: str | None
    items: int | None
    """None where all of them are meant."""
    reason: str

    def __str__(self) -> str:
        what = "not asked" if self.items is None else f"{self.items} items not asked"
        return f"{self.benchmark}{f' ({self.language})' if self.language else ''}: {what}: {self.reason}"


class Overlap(Record):
    """How many items of a benchmark are among the training prompts."""

    benchmark: str
    language: str
    items: int
    seen: int


@dataclass(frozen=True, slots=True)
class Asked:
    benchmark: Benchmark
    language: str
    item: sources.Item

    @property
    def place(self) -> str:
        """Which item it is, for a person; its translations have the same."""
        return _place(self.benchmark, self.item)

    @property
    def question(self) -> str:
        """What is asked: the item's text, inside the benchmark's prompt where it has one."""
        text = self.item.texts[self.language]
        return Template(self.benchmark.prompt.get(self.language, "$text")).safe_substitute(text=text)


@dataclass(frozen=True, slots=True)
class HeldOut:
    items: tuple[Asked, ...]
    skipped: tuple[Skipped, ...]

    def index(self, run: Run) -> Index:
        """Every text of the items, and of the same rows in English where the benchmark has them: most training prompts
        are translated from it."""
        return Index(self._texts(run))

    def _texts(self, run: Run) -> Iterator[tuple[str, str]]:
        for asked in self.items:
            yield from ((asked.place, text) for text in asked.item.texts.values())
        for benchmark in {asked.benchmark.name: asked.benchmark for asked in self.items}.values():
            source = benchmark.source
            parallel = isinstance(source, HubSource) and "{language}" in source.language
            if parallel and ENGLISH in (benchmark.languages or ()) and ENGLISH not in run.recipe.languages:
                english = sources.items(source, ENGLISH, run.recipe.seed, run.hub)
                yield from ((_place(benchmark, item), item.texts[ENGLISH]) for item in english)


def _place(benchmark: Benchmark, item: sources.Item) -> str:
    return f"{benchmark.name}, row {item.row}"


def inputs(run: Run) -> list[Input]:
    """The benchmarks' data sets, as far as they can be read now: one that becomes readable changes what is made."""
    found = list[Input]()
    for benchmark in run.recipe.evaluate.benchmarks:
        if isinstance(benchmark.source, HubSource):
            with suppress(Unavailable):  # told by `load`, with what is left out
                found.append(sources.revision(benchmark.source, run.hub))
    return list(dict.fromkeys(found))


def load(run: Run) -> HeldOut:
    """All items of all benchmarks that can be read. What cannot is named on the screen and in the outcome, and never
    silently left out."""
    items, skipped = list[Asked](), list[Skipped]()
    for benchmark in run.recipe.evaluate.benchmarks:
        found, lost = _all(benchmark, run)
        items += found
        skipped += lost
    for one in skipped:
        run.screen.say(str(one))
    return HeldOut(tuple(items), tuple(skipped))


def _all(benchmark: Benchmark, run: Run) -> tuple[list[Asked], list[Skipped]]:
    known = benchmark.languages or run.recipe.languages
    languages = [language for language in run.recipe.languages if language in known]
    if not languages:
        told = f"it has none of the recipe's languages, but {', '.join(known)}"
        return [], [_skipped(benchmark, None, None, told)]
    try:
        parts = [_in(benchmark, language, run) for language in languages]
    except Unavailable as error:
        return [], [_skipped(benchmark, None, None, str(error))]
    return [asked for found, _ in parts for asked in found], [one for _, lost in parts for one in lost]


def _in(benchmark: Benchmark, language: str, run: Run) -> tuple[list[Asked], list[Skipped]]:
    found = [
        Asked(benchmark, language, item)
        for item in sources.items(benchmark.source, language, run.recipe.seed, run.hub)
        if language in item.texts
    ]
    if not found:
        return [], [_skipped(benchmark, language, None, f"the source has no text in {language}")]
    good = [asked for asked in found if benchmark.answer is None or is_answer(asked.item.gold, benchmark.answer)]
    if lost := len(found) - len(good):
        return good, [_skipped(benchmark, language, lost, f"the gold answer is no {benchmark.answer}")]
    return good, []


def _skipped(benchmark: Benchmark, language: str | None, items: int | None, reason: str) -> Skipped:
    return Skipped(benchmark=benchmark.name, language=language, items=items, reason=reason)


def is_answer(gold: str | None, kind: str) -> bool:
    """Whether a gold answer is of the kind that the benchmark says: a wrong column or pattern shows here."""
    if not gold:
        return False
    if kind == "number":
        return value(gold, ENGLISH) is not None
    return kind != "option" or re.fullmatch(r"\(?[^\W\d_]\)?", gold.strip()) is not None


def unseen(items: Iterable[Asked], seen: Collection[str]) -> tuple[list[Asked], list[Overlap]]:
    """The items that were not trained on, and for each benchmark and language how many were."""
    groups: dict[tuple[str, str], list[Asked]] = {}
    for asked in items:
        groups.setdefault((asked.benchmark.name, asked.language), []).append(asked)
    clean = [asked for group in groups.values() for asked in group if asked.place not in seen]
    overlaps = [
        Overlap(
            benchmark=benchmark, language=tongue, items=len(group), seen=sum(asked.place in seen for asked in group)
        )
        for (benchmark, tongue), group in groups.items()
    ]
    return clean, overlaps
