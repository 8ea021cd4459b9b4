"""How far a judge agrees with people, and in which direction it does not. Pure: scores in, numbers with intervals out.

Intervals are by bootstrap over prompts, since the candidates of one prompt are alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log2

import numpy as np

from pipelines.estimates import Estimate, Floats, divide, of_sums, ratios

SCORES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a person and a judge say of one response. A likelihood is no score: it only ranks."""

    prompt: str
    language: str
    human: int
    judge: float
    characters: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a judge that gives scores, in one language.

    `kappa` is weighted by the square of the distance (Cohen 1968): 1 is what people say, 0 what chance says. `bias` is
    how much higher it scores than people do, `length` how much more of that there is for each doubling of the text.
    `confusion` counts: a row for each score of the people, a column for each of the judge, rounded.
    """

    items: int
    kappa: Estimate
    same: Estimate
    bias: Estimate
    length: Estimate
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Of a judge that ranks the responses to one prompt, in one language: how often it prefers, of two, the one that
    people do (0.5 is chance), and how much more often than they do it prefers the shorter."""

    pairs: int
    concordant: Estimate
    shorter: Estimate


def agreement(opinions: Sequence[Opinion]) -> Agreement:
    human = np.array([one.human for one in opinions], np.float64)
    judge = np.array([one.judge for one in opinions])
    rounded = np.clip(np.floor(judge + 0.5), SCORES[0], SCORES[-1])
    apart, size = judge - human, np.array([log2(max(1, one.characters)) for one in opinions])
    size -= size.mean()  # so that texts of one length have no spread at all, and not that of rounding
    ones = np.ones(len(opinions))
    prompts = [one.prompt for one in opinions]
    scores = _by_prompt(prompts, ones, human, rounded, human**2, rounded**2, human * rounded)
    shape = _by_prompt(prompts, ones, apart, size, apart * size, size**2)
    same = _by_prompt(prompts, human == rounded)
    return Agreement(
        items=len(opinions),
        kappa=of_sums(scores, _kappa),
        same=ratios(same, _by_prompt(prompts, ones), [True])[0],
        bias=of_sums(shape, lambda sums: divide(sums[:, 1], sums[:, 0])),
        length=of_sums(shape, _slope),
        confusion=tuple(
            tuple(int(((human == row) & (rounded == column)).sum()) for column in SCORES) for row in SCORES
        ),
    )


def ranking(opinions: Iterable[Opinion]) -> Ranking:
    """Pairs of one prompt that people score differently. A tie of the judge is half a preference."""
    groups: dict[str, list[Opinion]] = {}
    for one in opinions:
        groups.setdefault(one.prompt, []).append(one)
    rows = [
        (prompt, _wins(a.judge, b.judge), a.characters < b.characters, b.characters < a.characters)
        for prompt, group in groups.items()
        for a, b in (sorted(pair, key=lambda one: -one.human) for pair in combinations(group, 2))
        if a.human != b.human
    ]
    prompts = [row[0] for row in rows]
    wins, better_shorter, worse_shorter = (np.array([row[side] for row in rows], np.float64) for side in (1, 2, 3))
    # what the judge takes for better is the shorter one, less how often what people take for better is
    shorter = wins * better_shorter + (1 - wins) * worse_shorter - better_shorter
    ones = _by_prompt(prompts, np.ones(len(rows)))
    concordant = ratios(_by_prompt(prompts, wins), ones, [True])[0]
    sums = np.concatenate([ones, _by_prompt(prompts, shorter)], axis=1)
    return Ranking(len(rows), concordant, of_sums(sums, lambda both: divide(both[:, 1], both[:, 0])))


def _wins(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)


def _by_prompt(prompts: Sequence[str], *columns: Floats) -> Floats:
    """The sums of columns over the rows of each prompt."""
    places: dict[str, int] = {}
    rows = [places.setdefault(prompt, len(places)) for prompt in prompts]
    sums = np.zeros((len(places), len(columns)))
    np.add.at(sums, rows, np.stack(columns, axis=1) if rows else np.zeros((0, len(columns))))
    return sums


def _kappa(sums: Floats) -> Floats:
    """1 less the mean square distance over that of pairs drawn at random."""
    human, judge, human2, judge2, both = (sums[:, place] / sums[:, 0] for place in range(1, 6))
    return 1 - divide(human2 + judge2 - 2 * both, human2 + judge2 - 2 * human * judge)


def _slope(sums: Floats) -> Floats:
    """Of the least squares line through distance over size."""
    apart, size, both, size2 = (sums[:, place] / sums[:, 0] for place in range(1, 5))
    return divide(both - apart * size, size2 - size**2)
