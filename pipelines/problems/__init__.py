"""Grade-school word problems with a whole-number answer, told in Russian and, in parallel, in English.

    for problem in islice(problems(FAMILIES, seed=7), 100): ...

A family is one structure (change from a note, equal shares, two legs of a journey): a pure function from a random
generator to a `Story`. `words` holds the nouns and names with their inflection.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from pipelines.problems import counts, measures, money, rates, things
from pipelines.problems.words import Story

LANGUAGES = ("ru", "en")

_TELLERS: dict[str, Callable[[Random], Story]] = {
    teller.__name__: teller for module in (money, things, counts, rates, measures) for teller in module.FAMILIES
}
FAMILIES: tuple[str, ...] = tuple(_TELLERS)

_PATIENCE = 10_000  # repeats in a row after which a family counts as exhausted; each has over a thousand problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in every language of `LANGUAGES`, with its answer."""

    family: str
    texts: Mapping[str, str]
    gold: str


def problems(families: Sequence[str], seed: int) -> Iterator[Problem]:
    """An endless stream that takes the families in turn and never repeats a text.

    A family's own problems depend on its name and the seed alone, not on the company it keeps.
    """
    if unknown := [name for name in families if name not in _TELLERS]:
        raise ValueError(f"unknown problem family: {', '.join(unknown)}; known: {', '.join(FAMILIES)}")
    return _stream(families, seed)


def _stream(families: Sequence[str], seed: int) -> Iterator[Problem]:
    seen: set[str] = set()
    generators = [(name, Random(f"{name} {seed}")) for name in families]  # noqa: S311 - repeatable, not secret
    for name, rng in cycle(generators):
        problem = next((fresh for fresh in _told(name, rng) if seen.isdisjoint(fresh.texts.values())), None)
        if problem is None:
            raise RuntimeError(f"problem family {name} has nothing new to tell after {len(seen) // 2} problems in all")
        seen.update(problem.texts.values())
        yield problem


def _told(family: str, rng: Random) -> Iterator[Problem]:
    for _ in range(_PATIENCE):
        gold, tellings = _TELLERS[family](rng)
        yield Problem(family, dict(zip(LANGUAGES, rng.choice(tellings), strict=True)), str(gold))
