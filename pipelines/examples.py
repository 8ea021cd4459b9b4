"""Which chains a model's card shows: the same question thought about before and after the training."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipelines.recipe import Way
from pipelines.records import Result

LANGUAGES = 3
"""So many languages have an example at most."""
LONGEST = 1_500
"""Characters of a chain that are shown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The first sample of the base and of the model that it became for one item."""

    before: Result
    after: Result


def pairs(ways: Sequence[Way], rows: Callable[[], Iterable[Result]], after: str = "trained") -> list[Pair]:
    """One item of each language, by the first way of asking each model. Where there are some, one that the training
    won or lost: of these the one whose id comes first, whichever way it went, so that nobody picked it."""
    first = {way.model: way.name for way in reversed(ways) if way.model in ("base", after)}
    if len(first) < 2:
        return []
    verdicts: dict[tuple[str, str, str], dict[str, bool]] = {}
    for row in rows():
        if row.sample == 0 and row.way in first.values():
            verdicts.setdefault((row.language, row.benchmark, row.item), {})[row.way] = row.joint
    both = sorted(item for item, found in verdicts.items() if len(found) == 2)
    both.sort(key=lambda item: len(set(verdicts[item].values())), reverse=True)
    chosen: dict[str, tuple[str, str, str]] = {}
    for item in both:
        chosen.setdefault(item[0], item)
    found: dict[tuple[str, str, str], dict[str, Result]] = {item: {} for item in list(chosen.values())[:LANGUAGES]}
    for row in rows():
        item = row.language, row.benchmark, row.item
        if row.sample == 0 and item in found:
            found[item][row.way] = row
    return [Pair(samples[first["base"]], samples[first[after]]) for samples in found.values()]


def excerpt(row: Result) -> str:
    """The beginning of what was thought, and the answer."""
    thought = row.reasoning if row.reasoning is not None else "(no think block)"
    return f"{cut(thought)}\n\n{cut(row.answer)}".strip()


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[{len(text) - LONGEST:,} more characters]"
