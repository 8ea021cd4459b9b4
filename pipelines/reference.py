"""The table that the reference published, beside ours: shares of other questions, so only intervals can be compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines import estimates
from pipelines.estimates import Estimate
from pipelines.measures import Line

FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True, slots=True)
class Published:
    """`shares` are those of each language, by measure."""

    model: str
    questions: int
    shares: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Beside:
    """One measure in one language, theirs and ours."""

    language: str
    measure: str
    theirs: Estimate
    questions: int
    ours: Estimate
    line: Line


@cache
def published() -> Published:
    """What is in the file, each share with the interval that so few questions leave it."""
    told: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    n = int(told["questions"])
    shares = {
        language: {
            measure: estimates.proportion(round(share * n), n)
            for measure, share in zip(told["measures"], values, strict=True)
        }
        for language, values in told["languages"].items()
    }
    return Published(str(told["model"]), n, shares)


def beside(lines: Iterable[Line]) -> tuple[Beside, ...]:
    """Our lines in the languages that the reference tells of, measure by measure."""
    their = published()
    return tuple(
        Beside(line.language, measure, share, their.questions, line.values[measure], line)
        for line in lines
        for measure, share in their.shares.get(line.language, {}).items()
    )
