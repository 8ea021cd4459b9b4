"""What the responses of a reinforcement came to: step by step, by language, and whether their prompts fare better at
the end than at the beginning."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np

from pipelines import estimates
from pipelines.estimates import Floats
from pipelines.records import Rollout

MEASURES = ("reward", "through the gate", "right")


@dataclass
class Sums:
    """Of several responses: how many were decided, and the sums of `MEASURES` over them."""

    count: int = 0
    sums: Floats = field(default_factory=lambda: np.zeros(len(MEASURES)))

    def add(self, values: tuple[float, ...]) -> None:
        self.count += 1
        self.sums += values

    @property
    def means(self) -> Floats:
        return self.sums / self.count


class Tally:
    """A few numbers for each step and for each visit to a prompt stay in memory."""

    def __init__(self) -> None:
        self._steps: dict[int, Sums] = {}
        self._visits: dict[str, dict[int, Sums]] = {}
        self._languages: dict[str, Counter[str]] = {}

    def add(self, row: Rollout) -> None:
        """Rows come in the order of their steps. One that was not decided counts as a response alone."""
        right = any(term.name == "accuracy" and term.value > 0 for term in row.terms)
        counts = self._languages.setdefault(row.language, Counter(dict.fromkeys(("responses", *MEASURES[1:]), 0)))
        counts.update({"responses": 1, "through the gate": row.gate is None, "right": right})
        if row.reward is None:
            return
        values = row.reward, float(row.gate is None), float(right)
        self._steps.setdefault(row.step, Sums()).add(values)
        visits = self._visits.setdefault(row.prompt, {})
        visits.setdefault(row.step, Sums()).add(values)
        if len(visits) > 2:  # only the first and the last one count
            del visits[list(visits)[1]]

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        return self._languages

    @property
    def curve(self) -> list[list[float]]:
        """Step, and the means of `MEASURES`."""
        return [[step, *sums.means.tolist()] for step, sums in self._steps.items()]

    def rise(self) -> dict[str, Any]:
        """Prompts that were visited at least twice: each one's last visit beside its first, and the difference with its
        95 % interval, over prompts."""
        pairs = [list(visits.values()) for visits in self._visits.values() if len(visits) == 2]
        if not pairs:
            return {}
        first, last = (np.array([pair[place].means for pair in pairs]) for place in (0, 1))
        return {
            "prompts": len(pairs),
            "measures": {
                name: {
                    "first": float(first[:, place].mean()),
                    "last": float(last[:, place].mean()),
                    **_difference(last[:, place] - first[:, place]),
                }
                for place, name in enumerate(MEASURES)
            },
        }


def _difference(apart: Floats) -> dict[str, Any]:
    found = estimates.paired(apart, np.ones(len(apart)))
    three = [None if isnan(value) else value for value in (found.mean, found.low, found.high)]
    return {"difference": three, "p": None if isnan(found.p) else found.p}
