"""Numbers with their intervals: bootstrap over clusters, a paired test, its correction, and what a set could show.

A cluster is what was drawn independently: a benchmark item with all its samples and translations, so that several
answers to one question are not taken for several questions. Everything is a ratio of two sums over clusters. Pure and
seeded: the same numbers give the same estimate.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan, nan, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SEED = 0
RESAMPLES = 10_000
_NORMAL = NormalDist()
_Z95, _Z80 = _NORMAL.inv_cdf(0.975), _NORMAL.inv_cdf(0.8)
_AT_ONCE = 2_000_000  # numbers of a matrix of draws
_HELD = 5_000_000  # draws of this size are kept, since a table asks for the same ones line by line


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """A difference between two ways, item by item."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided, by flipping the signs of the clusters' differences."""
    least: float
    """The smallest true difference that so many clusters would show in four runs of five (p < 0.05)."""


NO_PAIRS = Paired(nan, nan, nan, nan, nan)


def ratios(over: Floats, under: Floats, shares: Sequence[bool]) -> list[Estimate]:
    """The ratio of the sums of each column; both arrays hold clusters x measures.

    `shares` are the columns that lie between 0 and 1. Near these ends resampled values are lopsided, and at them there
    is no spread at all: so there the bootstrap gives the spread, and Wilson's interval (1927) its form.
    """
    found, spreads = _resampled(over, under)
    for column in np.flatnonzero(shares):
        weight, spread, mean = float(under[:, column].sum()), spreads[column], found[column].mean
        flips = (np.isin(over[:, column], (0.0, 1.0)) & np.isin(under[:, column], (0.0, 1.0))).all()
        if flips or not spread > 0:
            found[column] = _wilson(mean, weight, _Z95)
        else:
            found[column] = _wilson(mean, mean * (1 - mean) / spread**2, _student(len(over) - 1))
    return found


def proportion(yes: int, n: int) -> Estimate:
    """So many of n that were drawn independently."""
    return _wilson(yes / n, n, _Z95)


def of_sums(values: Floats, statistic: Callable[[Floats], Floats]) -> Estimate:
    """Any statistic of the sums of columns, over resampled clusters. `values` holds clusters x columns; `statistic`
    takes sums (draws x columns) and gives one number for each draw."""
    mean = float(statistic(values.sum(0, keepdims=True))[0]) if len(values) else nan
    if len(values) < 2:
        return Estimate(mean, nan, nan)
    draws = np.concatenate([statistic(counts @ values) for counts in _draws(len(values), _counts)])
    (low,), (high,) = _middle(draws[:, None], len(values))
    return Estimate(mean, float(low), float(high))


def paired(over: Floats, under: Floats) -> Paired:
    """The mean difference: `over` holds each cluster's sum of differences, `under` how many they are."""
    if not len(over):
        return NO_PAIRS
    ((found,), _) = _resampled(over[:, None], under[:, None])
    return Paired(found.mean, found.low, found.high, _flipped(over), _least(over, under))


def holm(values: Sequence[float]) -> list[float]:
    """p-values of one family, corrected (Holm 1979): how often any true hypothesis would be refused. NaN stays NaN and
    counts for nothing."""
    order = sorted((place for place, value in enumerate(values) if not isnan(value)), key=lambda place: values[place])
    corrected, highest = list(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = highest
    return corrected


def _resampled(over: Floats, under: Floats) -> tuple[list[Estimate], list[float]]:
    """The ratios by the bootstrap over clusters, and the standard error of each."""
    clusters = len(over)
    means = divide(over.sum(0), under.sum(0))
    if clusters < 2:
        return [Estimate(float(mean), nan, nan) for mean in means], [nan] * len(means)
    values = np.concatenate([divide(counts @ over, counts @ under) for counts in _draws(clusters, _counts)])
    lows, highs = _middle(values, clusters)
    estimates = [Estimate(*map(float, three)) for three in zip(means, lows, highs, strict=True)]
    return estimates, [sqrt(clusters / (clusters - 1)) * _deviation(column) for column in values.T]


def _deviation(values: Floats) -> float:
    numbers = values[np.isfinite(values)]
    return float(numbers.std()) if len(numbers) else nan


def divide(over: Floats, under: Floats) -> Floats:
    """Without a warning for nothing in nothing, which is NaN, or something in nothing, which is endless."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return over / under


def _middle(values: Floats, clusters: int) -> tuple[Floats, Floats]:
    """The middle 95 % of resampled values (draws x measures). The tails are cut as far out as Student's t says for so
    few clusters: the plain percentiles are too narrow (Hesterberg 2015, "expanded percentile interval")."""
    tail = _NORMAL.cdf(-sqrt(clusters / (clusters - 1)) * _student(clusters - 1))
    quantile = np.nanquantile if np.isnan(values).any() else np.quantile
    keep = ~np.isnan(values).all(0)
    low, high = (np.full(values.shape[1], nan) for _ in range(2))
    if not keep.any():
        return low, high
    # a value that occurred: between a number and an endless one there is none
    low[keep], high[keep] = quantile(values[:, keep], (tail, 1 - tail), axis=0, method="inverted_cdf")
    return low, high


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, expanded from the normal one (Abramowitz and Stegun 26.7.5)."""
    z = _Z95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _wilson(mean: float, n: float, z: float) -> Estimate:
    if n == 0:
        return Estimate(nan, nan, nan)
    square = z**2 / n
    centre = (mean + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(max(0.0, mean * (1 - mean) / n) + square / (4 * n))
    return Estimate(mean, max(0.0, centre - half), min(1.0, centre + half))


def _flipped(values: Floats) -> float:
    """How often random signs make a sum at least as far from zero; never 0, since the data are one such draw."""
    seen = abs(float(values.sum())) - 1e-9
    reached = sum(int((np.abs(signs @ values) >= seen).sum()) for signs in _draws(len(values), _signs))
    return (reached + 1) / (RESAMPLES + 1)


def _least(over: Floats, under: Floats) -> float:
    """Two more clusters, one for each side, keep the spread from being zero where few differ."""
    apart = over - over.sum() / under.sum() * under
    spread = sqrt((float(apart @ apart) + 2) / (len(over) + 2))
    return (_Z95 + _Z80) * spread / (float(under.mean()) * sqrt(len(over)))


Draw = Callable[[np.random.Generator, int, int], Floats]


def _draws(clusters: int, draw: Draw) -> Iterable[Floats]:
    return _held(clusters, draw) if clusters * RESAMPLES <= _HELD else _chunks(clusters, draw)


@lru_cache(maxsize=4)
def _held(clusters: int, draw: Draw) -> tuple[Floats, ...]:
    return tuple(_chunks(clusters, draw))


def _chunks(clusters: int, draw: Draw) -> Iterator[Floats]:
    """RESAMPLES rows of draws, some at a time, so that memory stays bounded."""
    rng = np.random.default_rng((SEED, clusters))
    size = max(1, _AT_ONCE // clusters)
    for done in range(0, RESAMPLES, size):
        yield draw(rng, min(size, RESAMPLES - done), clusters)


def _counts(rng: np.random.Generator, draws: int, clusters: int) -> Floats:
    """How often each cluster is drawn, with replacement."""
    drawn = rng.integers(clusters, size=(draws, clusters)) + clusters * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)


def _signs(rng: np.random.Generator, draws: int, clusters: int) -> Floats:
    return rng.integers(2, size=(draws, clusters), dtype=np.int8).astype(np.float64) * 2 - 1
