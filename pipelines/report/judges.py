"""The judges of a report: beside the people who scored the same responses, and beside one another."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.cards import interval, number
from pipelines.tables import Grid

NOTE = (
    "Agreement with people: weighted kappa for a judge that scores; for one that ranks, the share of pairs of one "
    "prompt's responses that it ranks as people do (0.5 is chance), and for its length how much more often than people "
    "it prefers the shorter. Bias: how much higher it scores than people. Each with its 95 % interval."
)


def grids(details: Mapping[str, Any]) -> Iterator[Grid]:
    """What the facts of *judge* tell of its judges; nothing where no two were compared and none with people."""
    beside_people = details.get("calibration") or ()
    if beside_people:
        head = (
            "judge",
            "model",
            "lang",
            "scores",
            "failed",
            "agreement",
            "same score",
            "bias",
            "per doubling of length",
        )
        yield Grid("Judges beside people", head, [_people(one) for one in beside_people], names=3)
    for one in beside_people:
        if one.get("confusion"):
            title = f"{one['judge']} ({one['language']}): scores of people downwards, of the judge to the right"
            rows = [[str(score), *map(number, counts)] for score, counts in enumerate(one["confusion"], start=1)]
            yield Grid(title, ("people", "1", "2", "3", "4", "5"), rows, names=1)
    if disagreement := details.get("disagreement"):
        head = ("first judge", "second judge", "rows", "kappa", "same score", "apart, on average")
        yield Grid("Judges beside one another", head, [_pair(one) for one in disagreement], names=2)


def _people(one: Mapping[str, Any]) -> list[str]:
    numbers = (interval(one.get(name) or ()) for name in ("agreement", "same", "bias", "length"))
    return [one["judge"], one["model"], one["language"], number(one["items"]), number(one["failed"]), *numbers]


def _pair(one: Mapping[str, Any]) -> list[str]:
    told = (number(one["rows"]), interval(one["kappa"]), interval(one["same"]), number(one["apart"]))
    return [one["first"], one["second"], *told]
