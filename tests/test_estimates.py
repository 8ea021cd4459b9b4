"""estimates.py: intervals that hold the truth as often as they say, tests that find nothing where nothing is.

How often exactly is measured by tests/benchmarks/intervals.py, which takes minutes; here are seeded, smaller runs."""

from math import inf, isnan, nan

import numpy as np
import pytest

from pipelines.estimates import NO_PAIRS, Floats, holm, paired, ratios


def share(values: Floats) -> tuple[float, float, float]:
    (found,) = ratios(values[:, None], np.ones((len(values), 1)), [True])
    return found.mean, found.low, found.high


def yes(right: int, items: int) -> Floats:
    return np.arange(items) < right + 0.0


@pytest.mark.parametrize(
    ("right", "items", "low", "high"),
    [(4, 5, 0.376, 0.964), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (50, 100, 0.404, 0.596)],
)
def test_yes_or_no_gives_the_interval_of_wilson(right: int, items: int, low: float, high: float) -> None:
    assert share(yes(right, items).astype(float)) == pytest.approx((right / items, low, high), abs=5e-4)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    for truth, spread in ((0.5, 2.0), (0.9, 4.0)):
        hits = 0
        for _ in range(60):
            _, low, high = share(rng.binomial(4, rng.beta(truth * spread, (1 - truth) * spread, size=60)) / 4)
            hits += low <= truth <= high
        assert hits >= 52  # 57 are expected


def test_no_difference_is_found_significant_about_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(120):
        skill = rng.beta(2, 2, size=50)
        values = (rng.binomial(4, skill) - rng.binomial(4, skill)) / 4
        found += paired(values, np.ones(50)).p < 0.05
    assert 1 <= found <= 13  # 6 are expected


def test_the_least_difference_is_found_in_four_runs_of_five() -> None:
    rng = np.random.default_rng(3)
    spread = 0.5
    least = paired(rng.normal(0, spread, size=200), np.ones(200)).least
    found = sum(paired(rng.normal(least, spread, size=200), np.ones(200)).p < 0.05 for _ in range(60))
    assert 38 <= found <= 57  # 48 are expected


def test_clusters_that_repeat_themselves_say_no_more() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, 5, size=(80, 1)) / 4
    assert ratios(values, np.ones((80, 1)), [True]) == ratios(9 * values, np.full((80, 1), 9.0), [True])


def test_a_ratio_is_of_sums_and_not_of_each_item() -> None:
    (found,) = ratios(np.array([[10.0], [30.0]]), np.array([[1.0], [0.0]]), [False])
    assert found.mean == 40.0


def test_nothing_in_nothing_has_no_value_and_something_in_nothing_no_end() -> None:
    zeros, ones = np.zeros((9, 1)), np.ones((9, 1))
    (nothing,), (endless,) = ratios(zeros, zeros, [True]), ratios(ones, zeros, [False])
    assert isnan(nothing.mean)
    assert isnan(nothing.low)
    assert (endless.mean, endless.low, endless.high) == (inf, inf, inf)


def test_one_cluster_has_no_interval() -> None:
    (found,) = ratios(np.array([[3.0]]), np.array([[2.0]]), [False])
    assert found.mean == 1.5
    assert isnan(found.low)
    assert isnan(found.high)


def test_no_pairs_are_told_and_no_error() -> None:
    assert paired(np.array([]), np.array([])) is NO_PAIRS


def test_many_clusters_are_resampled_in_parts_with_the_same_outcome_each_time() -> None:
    values = np.random.default_rng(5).normal(size=600)
    assert paired(values, np.ones(600)) == paired(values, np.ones(600))


def test_holm_multiplies_the_smallest_most_and_never_lets_a_larger_one_pass_a_smaller() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_could_not_be_tested_counts_for_nothing_in_a_family() -> None:
    first, second = holm([nan, 0.02])
    assert isnan(first)
    assert second == 0.02


def test_holm_keeps_the_chance_of_any_false_find_in_a_family_at_five_percent() -> None:
    rng = np.random.default_rng(6)
    any_found = sum(min(holm(list(rng.uniform(size=20)))) < 0.05 for _ in range(2_000))
    assert 60 <= any_found <= 140  # 98 are expected; without correction 1,283
