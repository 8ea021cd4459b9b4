"""Plots of a run's facts, as PNG files that are published beside a card and shown in it. Nothing is computed here but
the quantiles that a distribution is drawn from.

Their background is transparent, and their colours hold on a white page and on a dark one (the tests measure it). Each
language has a row of its own, so that 38 of them only make a plot longer.
"""

import io
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.facts import Counts, Facts
from pipelines.instructions import language_name
from pipelines.marking import visible
from pipelines.measures import ALL, TITLES, Line
from pipelines.recipe import Way

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES, FUNNEL, SPREAD = "plots/scores.png", "plots/funnel.png", "plots/spread.png"
CAPTIONS = {
    SCORES: "Score per language with its 95 % interval, each way of asking, before and after training",
    FUNNEL: "How many were kept, and at which step the others were lost, per language",
    SPREAD: "Distributions per language: a dot for the median, a bar for the middle half, a line for the middle 90 %",
}
FUNNELS = ("generate", "judge", "choose")
"""The stages whose counts are what is left after each step; those of the others stand beside one another."""
SCORED = ("think_strict", "correct", "joint")
QUANTILES = (5, 25, 50, 75, 95)
SPREADS = {"tokens": "tokens of a response", "share": "share of the thinking in its language, percent"}
INK, BEFORE, AFTER = "#6e7681", "#c4620a", "#2f7fe0"
WAYS = {
    "before": ((BEFORE, "s"), ("#a3760f", "D"), ("#c25599", "^"), ("#8b7355", "v"), ("#b0483c", "<"), ("#7a7f2a", ">")),
    "after": ((AFTER, "o"), ("#12918a", "P"), ("#3f9142", "X"), ("#5b77c9", "*")),
    "merged": (("#7d6fd6", "h"), ("#a35fc4", "p")),
}
"""Colour and mark of the ways of asking each model, in the order of the recipe; then over again."""
STEPS = ("#8b949e", "#c4620a", "#a3760f", "#c25599", "#7d6fd6", "#12918a", "#b0483c", "#7a7f2a")
INCHES = 0.27
"""The height of a language's row, where it holds no more than two marks above one another."""
LONG = 12
"""More languages than this, and what an axis says stands at the top, too."""
DOTS = 110
"""To the inch."""


def files(told: Facts) -> dict[str, bytes]:
    """The plots that these facts have the numbers for, by their paths in the repo."""
    drawn = {
        SCORES: _scores(told.details["scores"]) if told.details.get("scores") else None,
        FUNNEL: _funnel(told.counts) if told.counts and told.stage in FUNNELS else None,
        SPREAD: _spread(told.details["spread"]) if told.details.get("spread") else None,
    }
    return {path: _png(figure) for path, figure in drawn.items() if figure is not None}


def scores(lines: Iterable[Line], ways: Sequence[Way]) -> list[dict[str, Any]]:
    """Of every way of asking what `files` draws: for the facts, as JSON."""
    names = {"base": "before", "trained": "after", "merged": "merged"}
    when = {way.name: names[way.model] for way in ways}
    return [
        {
            "benchmark": line.benchmark,
            "language": line.language,
            "way": line.way,
            "when": when[line.way],
            "measure": name,
            "value": [None if isnan(number) else number for number in (value.mean, value.low, value.high)],
        }
        for line in lines
        if line.way in when and line.language != ALL
        for name, value in ((name, line.values[name]) for name in SCORED)
    ]


class Spread:
    """How values are spread in each language: of each, eight bytes stay in memory."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, array[float]]] = {}

    def add(self, language: str, **told: float | None) -> None:
        """Values by their measures (keys of `SPREADS`); what is None does not count."""
        for measure, value in told.items():
            if value is not None:
                self._values.setdefault(measure, {}).setdefault(language, array("d")).append(value)

    def quantiles(self) -> dict[str, dict[str, list[float]]]:
        """The `QUANTILES` of each measure in each language."""
        return {
            measure: {language: np.percentile(values, QUANTILES).tolist() for language, values in languages.items()}
            for measure, languages in self._values.items()
        }


def _scores(told: Sequence[Mapping[str, Any]]) -> "Figure":
    """A row of panels for each benchmark, a panel for each measure; a language's ways one below the other."""
    benchmarks = {
        name: list(dict.fromkeys(one["language"] for one in told if one["benchmark"] == name))
        for name in dict.fromkeys(one["benchmark"] for one in told)
    }
    marks = _marks(told)
    inches = INCHES * max(2, len(marks)) / 2
    figure, axes = _panels([len(languages) for languages in benchmarks.values()], len(SCORED), inches)
    for (benchmark, languages), row in zip(benchmarks.items(), axes, strict=True):
        for measure, axis in zip(SCORED, row, strict=True):
            for place in range(1, len(languages), 2):
                axis.axhspan(place - 0.5, place + 0.5, color=INK, alpha=0.08, linewidth=0)
            for one in told:
                if (one["benchmark"], one["measure"]) == (benchmark, measure) and one["value"][0] is not None:
                    height = languages.index(one["language"]) + _offset(list(marks).index(one["way"]), len(marks))
                    _dot(axis, height, *marks[one["way"]], one["value"])
            axis.set_xlim(-3, 103)
            axis.set_xlabel(f"{TITLES[measure]}, percent")
            _rows(axis, languages)
        row[0].set_title(_label(benchmark), loc="left", fontsize=10, parse_math=False)
    when = {one["way"]: one["when"] for one in told}
    _legend(figure, [(f"{when[way]}: {_label(way)}", *mark) for way, mark in marks.items()])
    return figure


def _marks(told: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Colour and mark of each way, those before the training first."""
    found: dict[str, tuple[str, str]] = {}
    for when, looks in WAYS.items():
        ways = dict.fromkeys(one["way"] for one in told if one["when"] == when)
        found |= dict(zip(ways, cycle(looks), strict=False))
    return found


def _offset(place: int, of: int) -> float:
    """Where the line of one of several ways stands in its language's row, from -0.5 to 0.5."""
    return (place + 1) / (of + 1) - 0.5


def _dot(axis: "Axes", height: float, colour: str, mark: str, value: Sequence[float | None]) -> None:
    mean, low, high = (np.nan if number is None else 100 * number for number in value)
    axis.plot([low, high], [height, height], color=colour, linewidth=2, solid_capstyle="butt")
    axis.plot([mean], [height], mark, color=colour, markersize=5)


def _funnel(counts: Counts) -> "Figure":
    """A bar for each language, as shares of its first step."""
    languages, parts = list(counts), kept_and_lost(counts)
    colours = dict(zip(parts, (AFTER, *islice(cycle(STEPS), len(parts))), strict=False))
    figure, ((axis,),) = _panels([len(languages)], 1)
    start = np.zeros(len(languages))
    for label, widths in (next(iter(parts.items())), *reversed(list(parts.items())[1:])):
        axis.barh(range(len(languages)), widths, left=start, color=colours[label])
        start += widths
    for place, language in enumerate(languages):
        ends = list(counts[language].values())
        axis.text(101, place, f"{ends[0]:,} → {ends[-1]:,}", va="center", fontsize=8, color=INK)
    axis.set_xlim(0, 100)
    axis.set_xlabel("percent of the first step")
    _rows(axis, languages)
    _legend(figure, [(_label(label), colour, "") for label, colour in colours.items()])
    return figure


def kept_and_lost(counts: Counts) -> dict[str, list[float]]:
    """Percent of the first step, for each language: what is left after the last, and what each step took; steps that
    took nothing anywhere are left out."""
    steps = list(dict.fromkeys(step for row in counts.values() for step in row))
    left = np.array([[row.get(step, 0) for step in steps] for row in counts.values()], np.float64)
    shares = 100 * left / np.maximum(1, left[:, :1])
    lost = {f"lost at: {step}": shares[:, place] - shares[:, place + 1] for place, step in enumerate(steps[1:])}
    named = {label: widths.tolist() for label, widths in lost.items() if widths.any()}
    return {"kept": shares[:, -1].tolist(), **named}


def _spread(told: Mapping[str, Mapping[str, Sequence[float]]]) -> "Figure":
    languages = sorted({language for one in told.values() for language in one})
    figure, (axes,) = _panels([len(languages)], len(told))
    for (measure, values), axis in zip(told.items(), axes, strict=True):
        scale = 100 if measure == "share" else 1
        for place, language in enumerate(languages):
            if language in values:
                low, first, middle, third, high = (scale * number for number in values[language])
                axis.plot([low, high], [place, place], color=INK, linewidth=1.2)
                axis.plot([first, third], [place, place], color=AFTER, linewidth=6, solid_capstyle="butt")
                axis.plot([middle], [place], "o", color=BEFORE, markersize=5, clip_on=False)
        axis.set_xlim(-3 if measure == "share" else 0, 103 if measure == "share" else None)
        axis.set_xlabel(SPREADS[measure])
        _rows(axis, languages)
    return figure


def _panels(rows: Sequence[int], columns: int, inches: float = INCHES) -> "tuple[Figure, list[list[Axes]]]":
    """Axes side by side; `rows` says how many languages each row of them holds, `inches` how high each of these is."""
    from matplotlib.figure import Figure

    heights = [0.85 + inches * max(2, count) for count in rows]
    figure = Figure(figsize=(9, sum(heights) + 0.4), dpi=DOTS, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    return figure, [list(row) for row in grid]


def _rows(axis: "Axes", languages: Sequence[str]) -> None:
    """A row for each language, from the top down."""
    first = axis.get_subplotspec().is_first_col()  # pyright: ignore[reportOptionalMemberAccess] - it is in a grid
    names = [f"{language_name(language)} ({language})" for language in languages]
    axis.set_yticks(range(len(languages)), names if first else [""] * len(languages))
    axis.set_ylim(max(1.5, len(languages) - 0.4) if len(languages) > 1 else 0.8, -0.6 if len(languages) > 1 else -0.8)
    axis.tick_params(colors=INK, labelsize=8, length=0)
    axis.xaxis.label.set(color=INK, fontsize=9)
    if len(languages) > LONG:
        axis.tick_params(labeltop=True)
        axis.xaxis.set_label_position("top")
    axis.title.set_color(INK)
    axis._left_title.set_color(INK)  # pyright: ignore[reportAttributeAccessIssue]
    axis.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_facecolor("none")
    axis.spines[:].set_visible(False)


def _legend(figure: "Figure", entries: Sequence[tuple[str, str, str]]) -> None:
    """Texts with their colours and marks; a square where the mark is empty."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=mark or "s",
            markersize=5 if mark else 9,
            linewidth=2 if mark else 0,
            label=text,
        )
        for text, colour, mark in entries
    ]
    legend = figure.legend(
        handles=handles, loc="outside upper left", ncols=4, frameon=False, labelcolor=INK, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _label(text: str) -> str:
    """Text out of a recipe or a row, on one line."""
    line = " ".join(visible(text).split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()
