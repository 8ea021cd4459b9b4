"""From the rows of an evaluation to what they say: a line for each way of asking, and the differences between ways.

The samples of an item are averaged first, so each item weighs the same. The unit of chance is the row of the source: an
item, with its translations where several languages are taken together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Literal

import numpy as np

from pipelines import estimates
from pipelines.estimates import Estimate, Floats, Paired
from pipelines.recipe import Way
from pipelines.records import Result

ALL = "all"
"""Stands for the language where a line takes all of them together."""

FEW = 30
"""With fewer items than this, a table says that they are too few."""

Sides = tuple[float, float]
Key = tuple[str, str, str]
"""Benchmark, language, item."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A ratio of two sums: what a sample adds above, and below."""

    title: str
    sides: Callable[[Result], Sides]
    unit: Literal["share", "number"] = "share"


def _yes(test: Callable[[Result], bool]) -> Callable[[Result], Sides]:
    return lambda row: (float(test(row)), 1.0)


def _kept(row: Result) -> bool:
    """Whether think block and answer are in the language."""
    return row.think_strict and row.answer_in_language


def _switches(row: Result) -> Sides:
    return (0.0, 0.0) if row.switches is None else (float(row.switches), len(row.reasoning or "") / 1000)


MEASURES: Mapping[str, Measure] = {
    "valid_think": Measure("valid think", _yes(lambda row: row.valid_think)),
    "think_majority": Measure(
        "thinks mostly in language", _yes(lambda row: row.valid_think and row.think_language == row.language)
    ),
    "think_strict": Measure("thinks in language", _yes(lambda row: row.think_strict)),
    "answer_in_language": Measure("answers in language", _yes(lambda row: row.answer_in_language)),
    "output_strict": Measure("all in language", _yes(lambda row: row.output_strict)),
    "correct": Measure("correct", _yes(lambda row: row.correct)),
    "joint": Measure("joint", _yes(lambda row: row.joint)),
    "correct_given": Measure("correct, given language", lambda row: (float(row.joint), float(_kept(row)))),
    "tokens": Measure("tokens", lambda row: (float(row.completion_tokens), 1.0), "number"),
    "tokens_per_correct": Measure(
        "tokens per correct", lambda row: (float(row.completion_tokens), float(row.correct)), "number"
    ),
    "switches": Measure("switches per 1,000", _switches, "number"),
    "loop": Measure("loops", _yes(lambda row: "loop" in row.defects)),
    "unclosed": Measure("unclosed", _yes(lambda row: "unclosed" in row.defects)),
    "truncated": Measure("truncated", _yes(lambda row: "truncated" in row.defects)),
}
"""What a line shows, by name. With several samples of an item, `correct` is the mean over them (mean@k)."""

ANY = "any_correct"
TITLES: Mapping[str, str] = {
    **{name: measure.title for name, measure in MEASURES.items()},
    ANY: "pass@k",
    "tax": "native tax",
}
_SHARES = [*(measure.unit == "share" for measure in MEASURES.values()), True]
_PLACE = {name: place for place, name in enumerate((*MEASURES, ANY))}


@dataclass(frozen=True, slots=True)
class Cell:
    """All samples of an item in one way of asking: the means of both sides of each measure, ordered as in `_PLACE`."""

    way: str
    benchmark: str
    language: str
    item: str
    cluster: str
    samples: int
    over: Floats = field(compare=False)
    under: Floats = field(compare=False)


@dataclass(frozen=True, slots=True)
class Line:
    """What one way of asking reached on one benchmark in one language, or in `ALL` of them."""

    way: str
    benchmark: str
    language: str
    items: int
    samples: int
    """Of an item, at the most: fewer where some failed."""
    values: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Difference:
    """`way` minus `other` in one measure, over the items that both were asked. All NaN where there are none."""

    way: str
    other: str
    measure: str
    benchmark: str
    language: str
    items: int
    missing: int
    """Items that only one of the two was asked; left out."""
    value: Paired
    corrected: float
    """p among all languages and benchmarks of the same comparison (Holm); NaN where it is a family of its own."""


def told(rows: Iterable[Result], ways: Sequence[Way]) -> tuple[tuple[Line, ...], list[Difference]]:
    """What the rows of an evaluation come to, in the order of its ways of asking: its lines; the models that were made
    against the others, and what thinking in the language costs each model."""
    order = [way.name for way in ways]
    cells = collect(sorted((row for row in rows if row.way in order), key=lambda row: order.index(row.way)))
    found = [
        difference
        for measure in ("joint", "correct")
        for made, base in pairs(ways)
        for difference in compare(cells, made.name, base.name, measure)
    ]
    taxes = [tax(cells, way.name, english.name) for way, english in taxed(ways)]
    return summarise(cells), [*found, *(difference for one in taxes for difference in one)]


def trained(lines: Iterable[Line], ways: Sequence[Way]) -> Iterator[Line]:
    """The lines of the trained model, as it is asked first."""
    name = next((way.name for way in ways if way.model == "trained"), None)
    return (line for line in lines if line.way == name)


def collect(rows: Iterable[Result]) -> tuple[Cell, ...]:
    """The items, by way in the order of appearance, then sorted: the order of the rows decides nothing else."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    ways: dict[str, int] = {}
    for row in rows:
        ways.setdefault(row.way, len(ways))
        groups.setdefault((row.way, row.benchmark, row.language, row.item), []).append(row)
    ordered = sorted(groups.items(), key=lambda group: (ways[group[0][0]], group[0]))
    return tuple(_cell(*key, sorted(samples, key=lambda row: row.sample)) for key, samples in ordered)


def _cell(way: str, benchmark: str, language: str, item: str, samples: Sequence[Result]) -> Cell:
    sides = np.array([[measure.sides(row) for measure in MEASURES.values()] for row in samples])
    over, under = sides.mean(0).T
    # of k samples, whether any is right: the unbiased pass@k where k is the number of samples (Chen et al. 2021)
    passed = float(any(row.correct for row in samples))
    source = samples[0].source_row
    cluster = f"{benchmark}:{source}" if source is not None else f"{benchmark}:{language}:{item}"
    return Cell(way, benchmark, language, item, cluster, len(samples), np.append(over, passed), np.append(under, 1.0))


def summarise(cells: Iterable[Cell]) -> tuple[Line, ...]:
    """A line for each benchmark, way and language; before those of several languages one for all of them."""
    groups: dict[tuple[str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault((cell.benchmark, cell.way), {}).setdefault(cell.language, []).append(cell)
    lines = list[Line]()
    for (benchmark, way), languages in groups.items():
        if len(languages) > 1:
            lines.append(_line(way, benchmark, ALL, [cell for group in languages.values() for cell in group]))
        lines += [_line(way, benchmark, language, group) for language, group in languages.items()]
    return tuple(lines)


def _line(way: str, benchmark: str, language: str, cells: Sequence[Cell]) -> Line:
    over, under = _clustered(cells, [cell.over for cell in cells], [cell.under for cell in cells])
    values = dict(zip(_PLACE, estimates.ratios(over, under, _SHARES), strict=True))
    return Line(way, benchmark, language, len(cells), max(cell.samples for cell in cells), values)


def _clustered(cells: Sequence[Cell], *columns: Sequence[Floats] | Sequence[float]) -> tuple[Floats, ...]:
    """The sums over the cells of each cluster, cluster by cluster."""
    places: dict[str, int] = {}
    rows = [places.setdefault(cell.cluster, len(places)) for cell in cells]
    sums = list[Floats]()
    for column in columns:
        values = np.array(column)
        total = np.zeros((len(places), *values.shape[1:]))
        np.add.at(total, rows, values)
        sums.append(total)
    return tuple(sums)


def compare(cells: Iterable[Cell], way: str, other: str, measure: str) -> list[Difference]:
    """`way` against `other`: over everything, over each benchmark, and over each of its languages, where these differ.

    The last are one family of tests, whose p-values are corrected together.
    """
    mine, theirs = ({_key(cell): cell for cell in cells if cell.way == name} for name in (way, other))
    parts: dict[tuple[str, str], list[Key]] = {}
    for key in sorted(mine.keys() | theirs.keys()):
        parts.setdefault(key[:2], []).append(key)

    def over(benchmark: str, language: str, keys: Sequence[Key]) -> Difference:
        shared = [key for key in keys if key in mine and key in theirs]
        value = _paired([mine[key] for key in shared], [theirs[key] for key in shared], measure)
        missing = len(keys) - len(shared)
        return Difference(way, other, measure, benchmark, language, len(shared), missing, value, nan)

    family = [over(*part, keys) for part, keys in parts.items()]
    if len(family) > 1:
        corrected = estimates.holm([found.value.p for found in family])
        family = [replace(found, corrected=p) for found, p in zip(family, corrected, strict=True)]
    return [*(over(*whole, keys) for whole, keys in _wholes(parts).items()), *family]


def _wholes(parts: Mapping[tuple[str, str], list[Key]]) -> dict[tuple[str, str], list[Key]]:
    """The keys of all parts together, and of each benchmark's, where there are several to put together."""
    benchmarks = dict.fromkeys(benchmark for benchmark, _ in parts)
    wholes = {(name, ALL): [keys for (benchmark, _), keys in parts.items() if benchmark == name] for name in benchmarks}
    wholes = {name: groups for name, groups in wholes.items() if len(groups) > 1}
    if len(benchmarks) > 1:
        wholes = {(ALL, ALL): list(parts.values()), **wholes}
    return {name: [key for group in groups for key in group] for name, groups in wholes.items()}


def tax(cells: Sequence[Cell], way: str, english: str) -> list[Difference]:
    """What thinking in the language costs a model: how much more often it is right when it thinks in English."""
    return [replace(found, way=way, other=english, measure="tax") for found in compare(cells, english, way, "correct")]


def _key(cell: Cell) -> Key:
    return cell.benchmark, cell.language, cell.item


def _paired(mine: Sequence[Cell], theirs: Sequence[Cell], measure: str) -> Paired:
    if not mine:
        return estimates.NO_PAIRS
    place = _PLACE[measure]
    apart = [a.over[place] - b.over[place] for a, b in zip(mine, theirs, strict=True)]
    return estimates.paired(*_clustered(mine, apart, [1.0] * len(apart)))


def pairs(ways: Sequence[Way]) -> Iterator[tuple[Way, Way]]:
    """The first way of asking the trained model against every way of asking the base; its other ways each against the
    base asked in the same words. The merged and the reinforced model likewise, and against the trained one asked in the
    same words."""
    bases = [way for way in ways if way.model == "base"]
    for kind in ("trained", "merged", "reinforced"):
        for number, way in enumerate(way for way in ways if way.model == kind):
            yield from ((way, base) for base in bases if number == 0 or base.instruction == way.instruction)
            if kind != "trained":
                trained = (other for other in ways if other.model == "trained")
                yield from ((way, other) for other in trained if other.instruction == way.instruction)


def taxed(ways: Sequence[Way]) -> Iterator[tuple[Way, Way]]:
    """Each way of asking a model for its language, with the way in which the same model thinks in English."""
    for english in (way for way in ways if way.english):
        yield from ((way, english) for way in ways if way.model == english.model and not way.english)
