"""From the rows of an evaluation to numbers with intervals, and to tables of them.

The unit is the benchmark item: the samples of an item are averaged first, and resampling draws items, so several
samples of one question are not taken for several questions. Pure and seeded: the same rows give the same table.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.records import Result

MEASURES: Mapping[str, str] = {
    "valid_think": "valid think",
    "think_strict": "thinks in language",
    "answer_in_language": "answers in language",
    "output_strict": "all in language",
    "correct": "correct",
    "joint": "joint",
}
"""The yes-or-no columns of a Result that are counted, and what they are called in a table."""

SEED = 0
RESAMPLES = 10_000
FEW = 30
"""With fewer items than this, a table says that they are too few."""
_Z95, _Z80 = 1.959964, 0.841621
_DRAWS_AT_ONCE = 2_000_000

Item = tuple[str, str, str]
"""Benchmark, language, item."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of the items, with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.0f} ({100 * self.low:.0f}–{100 * self.high:.0f})"


@dataclass(frozen=True, slots=True)
class Line:
    """What one way of asking reached on one benchmark in one language."""

    way: str
    benchmark: str
    language: str
    items: int
    valid_think: Rate
    think_strict: Rate
    answer_in_language: Rate
    output_strict: Rate
    correct: Rate
    joint: Rate
    tokens: float
    """Completion tokens of an item, on average."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`way` minus `other` in one measure, over the items that both were asked. All NaN where there are none."""

    way: str
    other: str
    measure: str
    over: str
    """The benchmark and the language where there is one of each, else what there is one of, else `all`."""
    items: int
    missing: int
    """Items that only one of the two was asked; left out."""
    mean: float
    low: float
    high: float
    p: float
    """Two-sided, by flipping the signs of the items' differences."""
    least: float
    """The smallest true difference that so many items would show in four runs of five (p < 0.05)."""

    def __str__(self) -> str:
        return "–" if isnan(self.mean) else f"{_signed(self.mean)} ({_signed(self.low)}..{_signed(self.high)})"


class Grid(NamedTuple):
    """A table before it is known where it will be shown; the first `names` columns are words, the rest numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int


def summarise(results: Iterable[Result]) -> tuple[Line, ...]:
    """A line for each way, benchmark and language, in the order in which they first appear."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for row in results:
        groups.setdefault((row.way, row.benchmark, row.language), []).append(row)
    return tuple(_line(*key, rows) for key, rows in groups.items())


def _line(way: str, benchmark: str, language: str, rows: Sequence[Result]) -> Line:
    tokens = _by_item(rows, "completion_tokens")
    rates = {measure: rate(np.array([*_by_item(rows, measure).values()])) for measure in MEASURES}
    return Line(way, benchmark, language, len(tokens), **rates, tokens=float(np.mean([*tokens.values()])))


def rate(means: NDArray[np.float64]) -> Rate:
    """The share, given each item's. Items that are all yes or no are coin flips: Wilson's interval, which is right at
    0 and 1 too. Where samples of one item differ, the items are resampled."""
    mean = float(means.mean())
    if np.isin(means, (0.0, 1.0)).all():
        return Rate(mean, *_wilson(mean, len(means)))
    return Rate(mean, *_bootstrap(means))


def compare(results: Iterable[Result], way: str, other: str, measure: str) -> Difference:
    """`way` against `other`, item by item, over all benchmarks and languages in `results`."""
    rows = list(results)
    mine = _by_item((row for row in rows if row.way == way), measure)
    theirs = _by_item((row for row in rows if row.way == other), measure)
    shared = sorted(mine.keys() & theirs.keys())
    missing = len(mine.keys() ^ theirs.keys())
    if not shared:
        return Difference(way, other, measure, "", 0, missing, nan, nan, nan, nan, nan)
    values = np.array([mine[item] - theirs[item] for item in shared])
    return Difference(
        way=way,
        other=other,
        measure=measure,
        over=_over(shared),
        items=len(shared),
        missing=missing,
        mean=float(values.mean()),
        **dict(zip(("low", "high"), _bootstrap(values), strict=True)),
        p=_sign_flip(values),
        least=_least(values),
    )


def _over(items: Iterable[Item]) -> str:
    benchmarks, languages, _ = map(set, zip(*items, strict=True))
    return ", ".join(names.pop() for names in (benchmarks, languages) if len(names) == 1) or "all"


def _by_item(rows: Iterable[Result], measure: str) -> dict[Item, float]:
    """Each item's mean over its samples; sorted, so that the order of the rows decides nothing."""
    samples: dict[Item, list[float]] = {}
    for row in rows:
        samples.setdefault((row.benchmark, row.language, row.item), []).append(float(getattr(row, measure)))
    return {item: sum(values) / len(values) for item, values in sorted(samples.items())}


def _wilson(mean: float, n: int) -> tuple[float, float]:
    square = _Z95**2 / n
    centre = (mean + square / 2) / (1 + square)
    half = _Z95 / (1 + square) * sqrt(mean * (1 - mean) / n + square / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of the means of resampled items."""
    n = len(values)
    means = _repeat(n, lambda rng, size: values[rng.integers(n, size=(size, n))].mean(axis=1))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _sign_flip(values: NDArray[np.float64]) -> float:
    """How often random signs make a mean at least as far from zero; never 0, since the data are one such draw."""
    n = len(values)
    means = _repeat(n, lambda rng, size: (2 * rng.integers(2, size=(size, n)) - 1) @ values / n)
    reached = int((np.abs(means) >= abs(values.mean()) - 1e-12).sum())
    return (reached + 1) / (RESAMPLES + 1)


def _repeat(n: int, draw: Callable[[np.random.Generator, int], NDArray[np.float64]]) -> NDArray[np.float64]:
    """RESAMPLES draws over `n` items, some at a time, so that memory stays bounded."""
    rng = np.random.default_rng(SEED)
    size = max(1, _DRAWS_AT_ONCE // n)
    return np.concatenate([draw(rng, min(size, RESAMPLES - done)) for done in range(0, RESAMPLES, size)])


def _least(values: NDArray[np.float64]) -> float:
    """Two more items, one for each side, keep the spread from being zero where few items differ."""
    return (_Z95 + _Z80) * float(np.std([*values, 1.0, -1.0])) / sqrt(len(values))


def render(lines: Sequence[Line], differences: Sequence[Difference], console: Console) -> None:
    """The tables on the screen, with what is to be said about them."""
    grids = [*_line_grids(lines), *([_side_by_side(differences)] if differences else [])]
    for grid in grids:
        console.print(_rich(grid, console.width))
        console.print()
    for note in notes(lines, differences):
        console.print(note, markup=False)


def _rich(grid: Grid, width: int) -> Table:
    """Cells break where the screen is too narrow, but between words only: a number that is cut is another number."""
    columns = list(zip(grid.head, *grid.rows, strict=True))
    roomy = sum(max(map(cell_len, column)) + 2 for column in columns) <= width
    padding = (0, int(roomy), 0, 0)
    table = Table(title=Text(grid.title), title_justify="left", box=box.SIMPLE, show_edge=False, padding=padding)
    for index, column in enumerate(columns):
        longest = max(cell_len(word) for cell in column for word in cell.split())
        justify = "left" if index < grid.names else "right"
        table.add_column(Text(column[0]), justify=justify, no_wrap=roomy, width=None if roomy else longest)
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def markdown(lines: Sequence[Line], differences: Sequence[Difference]) -> str:
    """The same for a card, and of each difference all that is known."""
    grids = [*_line_grids(lines), *([_in_full(differences)] if differences else [])]
    tables = [_markdown(grid) for grid in grids]
    return "\n\n".join([*tables, *(escape(note) for note in notes(lines, differences))])


def _markdown(grid: Grid) -> str:
    rule = "| --- " * grid.names + "| ---: " * (len(grid.head) - grid.names) + "|"
    head, *rows = ("".join(f"| {escape(cell)} " for cell in row) + "|" for row in (grid.head, *grid.rows))
    return "\n".join([f"**{escape(grid.title)}**", "", head, rule, *rows])


def notes(lines: Sequence[Line], differences: Sequence[Difference]) -> list[str]:
    """How the tables are to be read, and where they say little."""
    found = list[str]()
    if lines:
        found.append("Percent of the n items, each with its 95 % interval; tokens are the mean of an item's answer.")
    if differences:
        found.append(
            "Differences are in percentage points, item by item, with 95 % interval; the card tells p, and least: the "
            "smallest true difference that so many items would show in four runs of five."
        )
    if missing := max((difference.missing for difference in differences), default=0):
        found.append(f"Up to {missing} items were asked in only one of two ways and are left out of the differences.")
    if any(entry.items < FEW for entry in (*lines, *differences)):
        found.append(f"* fewer than {FEW} items: too few to say much.")
    return found


def _line_grids(lines: Sequence[Line]) -> Iterable[Grid]:
    head = ("way", "lang", "n", *MEASURES.values(), "tokens")
    for benchmark in dict.fromkeys(line.benchmark for line in lines):
        yield Grid(benchmark, head, [_cells(line) for line in lines if line.benchmark == benchmark], names=2)


def _side_by_side(differences: Sequence[Difference]) -> Grid:
    """A column for each part of the items, so that a screen holds them all."""
    parts = list(dict.fromkeys(difference.over for difference in differences))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for difference in differences:
        names = (MEASURES.get(difference.measure, difference.measure), difference.way, difference.other)
        rows.setdefault(names, {})[difference.over] = str(difference)
    cells = [(*names, *(row.get(part, "–") for part in parts)) for names, row in rows.items()]
    return Grid("Differences", ("measure", "way", "against", *parts), cells, names=3)


def _in_full(differences: Sequence[Difference]) -> Grid:
    head = ("over", "measure", "way", "against", "n", "difference", "p", "least")
    return Grid("Differences", head, [_difference_cells(difference) for difference in differences], names=4)


def _cells(line: Line) -> Sequence[str]:
    rates = (str(getattr(line, measure)) for measure in MEASURES)
    return (line.way, line.language, _count(line.items), *rates, f"{line.tokens:.0f}")


def _difference_cells(difference: Difference) -> Sequence[str]:
    name, n = MEASURES.get(difference.measure, difference.measure), _count(difference.items)
    p = "–" if isnan(difference.p) else "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"
    least = "–" if isnan(difference.least) else f"{100 * difference.least:.0f}"
    return (difference.over, name, difference.way, difference.other, n, str(difference), p, least)


def _count(items: int) -> str:
    return f"{items}*" if items < FEW else str(items)


def _signed(share: float) -> str:
    return f"{round(100 * share) + 0:+d}".replace("-", "−")


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(text: object) -> str:
    """Any value as one line of plain Markdown text, wherever it stands: in a sentence, a list or a table's cell.

    Nothing in it is markup any more: no HTML, link, emphasis, code, maths, heading, list, rule or cell border. Control
    characters and those that turn the writing direction around are dropped.
    """
    line = " ".join(_CONTROL.sub("", str(text)).split())
    line = re.sub(r"[&<>]", lambda found: _HTML[found[0]], line)
    line = re.sub(r"[\\`*_\[\]|~$]", r"\\\g<0>", line)
    return re.sub(r"^(\d+(?=[.)](?: |$))|(?=[-+=#]))", r"\1\\", line)  # what begins a list, a rule, a heading
