"""Tables of an evaluation: on a screen, and in a card. Nothing is computed here."""

import re
from collections.abc import Iterable, Sequence
from math import isfinite, isnan
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.estimates import Estimate
from pipelines.measures import ALL, ANY, FEW, MEASURES, TITLES, Difference, Line
from pipelines.reference import Beside

FORM = ("valid_think", "think_majority", "think_strict", "answer_in_language", "correct", "joint")
DETAIL = ("output_strict", "correct_given", ANY, "loop", "unclosed", "truncated")
COST = ("tokens", "tokens_per_correct", "switches")
"""The columns of the three tables of a benchmark: no more than a narrow screen holds."""


class Grid(NamedTuple):
    """A table before it is known where it will be shown; the first `names` columns are words, the rest numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int


def render(lines: Sequence[Line], differences: Sequence[Difference], console: Console) -> None:
    """The tables on the screen, with what is to be said about them."""
    for grid in [*_line_grids(lines, short=True), *([_side_by_side(differences)] if differences else [])]:
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
    tables = [_markdown(grid) for grid in grids(lines, differences)]
    return "\n\n".join([*(escape(note) for note in notes(lines, differences, full=True)), *tables])


def overview(lines: Sequence[Line], differences: Sequence[Difference]) -> str:
    """For the top of a card: one table, and what training did in a sentence or two."""
    told = [*headlines(differences), JOINT]
    return "\n\n".join([*(escape(sentence) for sentence in told), _markdown(at_a_glance(lines))])


JOINT = "Joint: thinks in its language in every segment, answers in it, and is right. Percent, with 95 % intervals."


def at_a_glance(lines: Sequence[Line]) -> Grid:
    """A line for each way of asking on each benchmark; of several languages that of all of them."""
    several = {(line.benchmark, line.way) for line in lines if line.language == ALL}
    mine = [line for line in lines if line.language == ALL or (line.benchmark, line.way) not in several]
    order = list(dict.fromkeys(line.benchmark for line in mine))
    mine.sort(key=lambda line: order.index(line.benchmark))
    measures = ("think_strict", "answer_in_language", "correct", "joint")
    head = ("benchmark", "way", "lang", "n", *(TITLES[measure] for measure in measures))
    rows = [
        (
            line.benchmark,
            line.way,
            line.language,
            _count(line.items),
            *(shown(line.values[one], one) for one in measures),
        )
        for line in mine
    ]
    return Grid("At a glance", head, rows, names=3)


def headlines(differences: Sequence[Difference]) -> list[str]:
    """How the first trained way of asking stands against the best of the base model's, over all items, in each measure.
    The first difference of two ways is that over the most items."""
    found = list[str]()
    way = next((one.way for one in differences), None)
    for measure in ("joint", "correct"):
        whole: dict[str, Difference] = {}
        for one in differences:
            if (one.way, one.measure) == (way, measure) and not isnan(one.value.mean):
                whole.setdefault(one.other, one)
        if whole:
            least = min(whole.values(), key=lambda one: one.value.mean)
            among = f", the best of the {len(whole)} ways of asking that it is compared with" if len(whole) > 1 else ""
            doubt = "" if not least.value.low <= 0 <= least.value.high else ": they cannot tell it from no difference"
            told = f"{_points(least)} percentage points against {least.other}{among}, over {least.items:,} items{doubt}"
            found.append(f"{TITLES[measure].capitalize()}: {way} {told}.")
    return found


BESIDE = "The published figures rest on other questions, so only whether the intervals lie apart says something."


def beside(rows: Sequence[Beside], model: str) -> str:
    """Our lines next to those that a reference published, for a card; empty where there are none."""
    return f"{_markdown(beside_grid(rows, model))}\n\n{escape(BESIDE)}" if rows else ""


def beside_grid(rows: Sequence[Beside], model: str) -> Grid:
    head = ("lang", "benchmark", "way", "measure", "published", "n", "ours", "n")
    cells = [
        (
            *(row.language, row.line.benchmark, row.line.way, TITLES[row.measure]),
            *(shown(row.theirs, row.measure), _count(row.questions)),
            *(shown(row.ours, row.measure), _count(row.line.items)),
        )
        for row in rows
    ]
    return Grid(f"Beside {model}", head, cells, names=4)


def grids(lines: Sequence[Line], differences: Sequence[Difference]) -> list[Grid]:
    """The tables in full."""
    return [*_line_grids(lines, short=False), *([_in_full(differences)] if differences else [])]


def _markdown(grid: Grid) -> str:
    rule = "| --- " * grid.names + "| ---: " * (len(grid.head) - grid.names) + "|"
    head, *rows = ("".join(f"| {escape(cell)} " for cell in row) + "|" for row in (grid.head, *grid.rows))
    return "\n".join([f"**{escape(grid.title)}**", "", head, rule, *rows])


def notes(lines: Sequence[Line], differences: Sequence[Difference], full: bool = False) -> list[str]:
    """How the tables are to be read, and where they say little; `full` tells of the columns of the card, too."""
    found = list[str]()
    if lines:
        found.append(
            "Way: how the model is asked. Percent of the n items, means over their k samples, each with its 95 % "
            "interval; tokens are counts, and switches changes of language in 1,000 characters of thinking. Thinks in "
            "language: every segment does. Joint: it does, answers in the language, and is right."
        )
    if differences:
        more = "p, corrected (over languages and benchmarks, by Holm) and least, the smallest true difference that so "
        more += "many items would show in four runs of five"
        told = f"; beside it {more}" if full else f"; the card tells {more}"
        found.append(f"Differences are in percentage points, item by item, with 95 % interval{told}.")
    if any(difference.measure == "tax" for difference in differences):
        found.append("Native tax: how much more often the same model is right when it thinks in English.")
    if missing := max((difference.missing for difference in differences), default=0):
        found.append(f"Up to {missing} items were asked in only one of two ways and are left out of the differences.")
    if any(entry.items < FEW for entry in (*lines, *differences)):
        found.append(f"* fewer than {FEW} items: too few to say much.")
    return found


def _line_grids(lines: Sequence[Line], short: bool) -> Iterable[Grid]:
    """`short`: the second and third table without single languages, where there is a line for all of them."""
    for benchmark in dict.fromkeys(line.benchmark for line in lines):
        mine = [line for line in lines if line.benchmark == benchmark]
        whole = [line for line in mine if line.language == ALL] if short else []
        yield _lines_grid(benchmark, FORM, mine)
        yield _lines_grid(f"{benchmark}: in detail", DETAIL, whole or mine)
        yield _lines_grid(f"{benchmark}: length", COST, whole or mine)


def _lines_grid(title: str, measures: Sequence[str], lines: Sequence[Line]) -> Grid:
    head = ("way", "lang", "n", "k", *(TITLES[measure] for measure in measures))
    return Grid(title, head, [_cells(line, measures) for line in lines], names=2)


def _side_by_side(differences: Sequence[Difference]) -> Grid:
    """A column for each part of the items, so that a screen holds them all; single languages only where the benchmark
    has no more than one."""
    whole = {difference.benchmark for difference in differences if difference.language == ALL}
    shown = [found for found in differences if found.language == ALL or found.benchmark not in whole]
    parts = list(dict.fromkeys(_over(difference) for difference in shown))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for difference in shown:
        names = (TITLES[difference.measure], difference.way, difference.other)
        rows.setdefault(names, {})[_over(difference)] = _points(difference)
    cells = [(*names, *(row.get(part, "–") for part in parts)) for names, row in rows.items()]
    return Grid("Differences", ("measure", "way", "against", *parts), cells, names=3)


def _in_full(differences: Sequence[Difference]) -> Grid:
    head = ("over", "measure", "way", "against", "n", "difference", "p", "corrected", "least")
    return Grid("Differences", head, [_difference_cells(difference) for difference in differences], names=4)


def _cells(line: Line, measures: Sequence[str]) -> Sequence[str]:
    values = (shown(line.values[measure], measure) for measure in measures)
    return (line.way, line.language, _count(line.items), str(line.samples), *values)


def _difference_cells(difference: Difference) -> Sequence[str]:
    value, name = difference.value, TITLES[difference.measure]
    least = "–" if isnan(value.least) else f"{100 * value.least:.0f}"
    chance = (_chance(value.p), _chance(difference.corrected))
    names = (_over(difference), name, difference.way, difference.other)
    return (*names, _count(difference.items), _points(difference), *chance, least)


def shown(value: Estimate, measure: str) -> str:
    """A value with its interval, as in `67 (39–86)`."""
    number = _number if measure in MEASURES and MEASURES[measure].unit == "number" else _percent
    if isnan(value.mean):
        return "–"
    interval = "" if isnan(value.low) else f" ({number(value.low)}–{number(value.high)})"
    return number(value.mean) + interval


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _number(value: float) -> str:
    return "∞" if not isfinite(value) else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _over(difference: Difference) -> str:
    return ", ".join(name for name in (difference.benchmark, difference.language) if name != ALL) or ALL


def _points(difference: Difference) -> str:
    value = difference.value
    if isnan(value.mean):
        return "–"
    interval = "" if isnan(value.low) else f" ({_signed(value.low)}..{_signed(value.high)})"
    return _signed(value.mean) + interval


def _chance(p: float) -> str:
    return "–" if isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


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
