"""agreement.py: chance agrees at 0, copies at 1, and a judge that likes long texts is found out."""

from math import isnan

import numpy as np
import pytest

from pipelines.agreement import Opinion, agreement, ranking


def opinions(human: list[int], judge: list[float], lengths: list[int] | None = None) -> list[Opinion]:
    sizes = lengths or [100] * len(human)
    return [
        Opinion(f"p{place}", "ru", a, b, size)
        for place, (a, b, size) in enumerate(zip(human, judge, sizes, strict=True))
    ]


def drawn(n: int, seed: int) -> list[int]:
    return [int(score) for score in np.random.default_rng(seed).integers(1, 6, size=n)]


def test_a_judge_that_says_what_people_say_agrees_in_full() -> None:
    human = drawn(60, 1)
    found = agreement(opinions(human, [float(score) for score in human]))
    assert (found.kappa.mean, found.same.mean, found.bias.mean) == (1, 1, 0)
    assert sum(found.confusion[place][place] for place in range(5)) == found.items == 60


def test_a_judge_that_guesses_agrees_no_more_than_chance() -> None:
    found = agreement(opinions(drawn(300, 1), [float(score) for score in drawn(300, 2)]))
    assert found.kappa.low < 0 < found.kappa.high
    assert abs(found.kappa.mean) < 0.15


def test_weighted_kappa_is_that_of_the_textbook() -> None:
    # two by two at the ends of the scale, where weights do not matter: po = 0.7, pe = 0.5, kappa = 0.4
    human, judge = [1] * 50 + [5] * 50, [1.0] * 35 + [5.0] * 15 + [1.0] * 15 + [5.0] * 35
    assert agreement(opinions(human, judge)).kappa.mean == pytest.approx(0.4)


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    human = drawn(100, 1)
    near = [min(5.0, score + 1.0) for score in human]
    far = [float(6 - score) for score in human]
    assert agreement(opinions(human, near)).kappa.mean > 0.6
    assert agreement(opinions(human, far)).kappa.mean < 0


def test_a_judge_that_always_says_the_same_does_not_pass_for_one_that_agrees() -> None:
    kappa = agreement(opinions(drawn(100, 1), [4.0] * 100)).kappa.mean
    assert kappa == pytest.approx(0)


def test_confusion_has_the_scores_of_people_downwards() -> None:
    found = agreement(opinions([1, 1, 5], [2.0, 2.4, 4.6]))
    assert (found.confusion[0][1], found.confusion[4][4]) == (2, 1)


def test_a_bias_has_its_direction() -> None:
    human = drawn(80, 3)
    assert agreement(opinions(human, [score - 0.5 for score in human])).bias.mean == pytest.approx(-0.5)


def test_half_a_point_more_for_each_doubling_of_the_text_is_found() -> None:
    human, lengths = [3] * 60, [2 ** (6 + place % 4) for place in range(60)]
    noise = np.random.default_rng(4).normal(0, 0.2, size=60)
    judge = [2 + 0.5 * (place % 4) + noise[place] for place in range(60)]
    found = agreement(opinions(human, judge, lengths)).length
    assert found.low < 0.5 < found.high
    assert found.mean == pytest.approx(0.5, abs=0.1)


def test_texts_of_one_length_say_nothing_about_length() -> None:
    found = agreement(opinions(drawn(40, 1), [3.0] * 40)).length
    assert isnan(found.mean)
    assert isnan(found.low)


def test_the_interval_of_kappa_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)

    def some(n: int) -> list[Opinion]:
        human = rng.integers(1, 6, size=n)
        judge = np.where(rng.uniform(size=n) < 0.7, human, rng.integers(1, 6, size=n))
        return opinions([int(score) for score in human], [float(score) for score in judge])

    truth = agreement(some(200_000 // 10)).kappa.mean
    hits = sum((found := agreement(some(60)).kappa).low <= truth <= found.high for _ in range(60))
    assert hits >= 52  # 57 are expected


# --- a judge that ranks


def of_one_prompt(*rows: tuple[int, float, int], prompt: str = "p") -> list[Opinion]:
    return [Opinion(prompt, "ru", *row) for row in rows]


def test_only_responses_to_the_same_prompt_are_compared() -> None:
    both = of_one_prompt((5, -1.0, 10), (1, -2.0, 10)) + of_one_prompt((5, -9.0, 10), (1, -9.5, 10), prompt="q")
    found = ranking(both)
    assert (found.pairs, found.concordant.mean) == (2, 1.0)


def test_responses_that_people_find_equal_are_no_pair() -> None:
    assert ranking(of_one_prompt((3, -1.0, 10), (3, -2.0, 10))).pairs == 0


def test_a_tie_is_half_a_preference() -> None:
    assert ranking(of_one_prompt((5, -1.0, 10), (1, -1.0, 10))).concordant.mean == 0.5


def test_a_judge_that_prefers_the_shorter_is_told_from_one_whose_people_do() -> None:
    # the better text is the shorter one in half of the prompts; this judge always takes the shorter
    biased = [
        one
        for number in range(40)
        for one in of_one_prompt(
            (5, -1.0 if number % 2 else -2.0, 10 if number % 2 else 90), (1, -1.5, 50), prompt=str(number)
        )
    ]
    found = ranking(biased)
    assert (found.concordant.mean, found.shorter.mean) == (0.5, 0.5)
    fair = [one for number in range(40) for one in of_one_prompt((5, -1.0, 10), (1, -2.0, 50), prompt=str(number))]
    assert ranking(fair).shorter.mean == 0


def test_no_pairs_at_all_have_no_value() -> None:
    found = ranking([])
    assert found.pairs == 0
    assert isnan(found.concordant.mean)
