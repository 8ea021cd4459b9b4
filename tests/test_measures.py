"""measures.py: what each number counts, item by item, and that the order of the rows decides nothing."""

import random
from itertools import product
from math import isnan

import pytest

from pipelines.measures import ALL, Cell, Difference, collect, compare, summarise, tax
from pipelines.records import Result
from tests.rows import result


def answers(way: str, right: int, items: int, samples: int = 1, **changed: object) -> list[Result]:
    return [
        result(way, item, item < right, sample, **changed) for item, sample in product(range(items), range(samples))
    ]


def value(rows: list[Result], measure: str) -> float:
    (line,) = summarise(collect(rows))
    return line.values[measure].mean


def only(rows: list[Result], measure: str = "joint") -> Difference:
    (found,) = compare(collect(rows), "a", "b", measure)
    return found


def test_there_is_a_line_for_each_way_and_language_and_before_several_one_for_all() -> None:
    rows = [result("z", 1, True), result("a", 1, True, language="uk"), result("a", 1, True), result("z", 2, False)]
    assert [(line.way, line.language, line.items) for line in summarise(collect(rows))] == [
        ("z", "ru", 2),
        ("a", ALL, 2),
        ("a", "ru", 1),
        ("a", "uk", 1),
    ]


def test_samples_are_averaged_over_items_before_items_are_averaged() -> None:
    rows = [result("a", 1, True, sample, completion_tokens=10) for sample in range(9)]
    rows.append(result("a", 2, False, completion_tokens=30))
    (line,) = summarise(collect(rows))
    assert (line.items, line.samples) == (2, 9)
    assert (line.values["joint"].mean, line.values["tokens"].mean) == (0.5, 20)


def test_more_samples_of_an_item_that_agree_make_no_interval_narrower() -> None:
    (one,), (four,) = (summarise(collect(answers("a", 30, 50, samples=k))) for k in (1, 4))
    assert one.values["joint"] == four.values["joint"]


def test_translations_of_one_item_make_no_interval_of_all_languages_narrower() -> None:
    rows = [one for language in ("ru", "uk", "be") for one in answers("a", 30, 50, language=language)]
    whole, *languages = summarise(collect(rows))
    assert (whole.language, whole.items) == (ALL, 150)
    width, single = (line.values["joint"].high - line.values["joint"].low for line in (whole, languages[0]))
    assert width == pytest.approx(single, rel=0.1)


def test_of_k_samples_the_mean_and_whether_any_is_right_stand_side_by_side() -> None:
    rows = [
        result("a", item, (item, sample) in ((0, 0), (0, 1), (1, 3)), sample) for item in (0, 1) for sample in range(4)
    ]
    assert (value(rows, "correct"), value(rows, "any_correct")) == (3 / 8, 1.0)


def test_accuracy_given_the_language_counts_only_what_keeps_it() -> None:
    kept = [result("a", item, item < 3, think_strict=True) for item in range(4)]
    lost = [result("a", item, False, think_strict=False, correct=True) for item in range(4, 10)]
    assert value(kept + lost, "correct_given") == 0.75
    assert value(kept + lost, "correct") == 0.9


def test_where_nothing_keeps_the_language_accuracy_given_it_has_no_value() -> None:
    assert isnan(value(answers("a", 0, 9), "correct_given"))


def test_most_of_a_block_in_the_language_counts_apart_from_all_of_it() -> None:
    rows = [
        result("a", 1, False, think_language="ru", think_strict=False),
        result("a", 2, False, think_language="en", think_strict=False),
        result("a", 3, False, think_language="ru", valid_think=False, think_strict=False),
    ]
    assert (value(rows, "think_majority"), value(rows, "think_strict")) == (pytest.approx(1 / 3), 0)


def test_tokens_per_correct_answer_count_those_of_the_wrong_ones_too() -> None:
    rows = [result("a", 1, True, completion_tokens=100), result("a", 2, False, completion_tokens=300)]
    assert value(rows, "tokens_per_correct") == 400


def test_switches_are_counted_per_thousand_characters_of_thinking() -> None:
    rows = [result("a", item, True, reasoning="б" * 500, switches=item) for item in range(4)]
    assert value(rows, "switches") == 3.0


def test_rows_from_before_switches_were_counted_do_not_count_as_none() -> None:
    old = [result("a", item, True, reasoning="б" * 500, switches=None) for item in range(4)]
    assert isnan(value(old, "switches"))
    assert value([*old, result("a", 9, True, reasoning="б" * 1000, switches=2)], "switches") == 2.0


@pytest.mark.parametrize("measure", ["loop", "unclosed", "truncated"])
def test_what_is_wrong_in_form_is_counted_by_its_name(measure: str) -> None:
    assert value([result("a", 1, False, defects=(measure,)), result("a", 2, False)], measure) == 0.5


def test_the_order_of_the_rows_changes_no_number() -> None:
    rows = [*answers("a", 20, 40, 2), *answers("b", 9, 40, 2)]
    shuffled = random.Random(0).sample(rows, len(rows))  # noqa: S311 - a shuffle, not a secret
    assert compare(collect(rows), "a", "b", "joint") == compare(collect(shuffled), "a", "b", "joint")
    assert sorted(map(str, summarise(collect(rows)))) == sorted(map(str, summarise(collect(shuffled))))


# --- differences


def test_a_difference_is_paired_item_by_item() -> None:
    found = only([*answers("a", 60, 100), *answers("b", 50, 100)]).value
    assert found.mean == pytest.approx(0.1)
    assert 0.03 < found.low < 0.1 < found.high < 0.17  # unpaired, it would reach beyond zero
    assert 0.0005 < found.p < 0.004  # 2 of 2 ** 10: ten items differ, all to one side


def test_no_difference_has_an_interval_around_zero_and_a_large_p() -> None:
    found = only([*answers("a", 50, 100), *answers("b", 50, 100)], "correct").value
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert 0.01 < found.least < 0.1  # nothing was seen, which is not: nothing is there


def test_items_that_only_one_way_was_asked_are_left_out_and_counted() -> None:
    found = only([*answers("a", 5, 40), *answers("b", 0, 30)])
    assert (found.items, found.missing) == (30, 10)


def test_nothing_in_common_is_told_and_no_error() -> None:
    found = only(answers("a", 5, 40))
    assert (found.items, found.missing) == (0, 40)
    assert isnan(found.value.mean)


def test_the_least_difference_shrinks_with_the_number_of_items() -> None:
    few, many = (only([*answers("a", n // 2, n), *answers("b", n // 4, n)]).value for n in (50, 800))
    assert many.least == pytest.approx(few.least / 4, rel=0.1)


def languages(cells: tuple[Cell, ...]) -> list[tuple[str, str]]:
    return [(found.benchmark, found.language) for found in compare(cells, "a", "b", "joint")]


def test_differences_are_over_everything_then_each_benchmark_then_each_of_its_languages() -> None:
    rows = [one for way in ("a", "b") for tongue in ("ru", "uk") for one in answers(way, 5, 9, language=tongue)]
    assert languages(collect(rows)) == [("b", ALL), ("b", "ru"), ("b", "uk")]
    other = [row.model_copy(update={"benchmark": "c"}) for row in rows if row.language == "ru"]
    assert languages(collect([*rows, *other])) == [(ALL, ALL), ("b", ALL), ("b", "ru"), ("b", "uk"), ("c", "ru")]


def test_the_p_values_of_languages_are_corrected_together() -> None:
    rows = [one for tongue in ("ru", "uk", "be") for one in answers("b", 20, 60, language=tongue)]
    rows += [
        one
        for tongue, right in (("ru", 30), ("uk", 21), ("be", 20))
        for one in answers("a", right, 60, language=tongue)
    ]
    whole, *family = compare(collect(rows), "a", "b", "joint")
    assert isnan(whole.corrected)
    by_language = {found.language: found for found in family}
    assert by_language["ru"].corrected == pytest.approx(3 * by_language["ru"].value.p)
    assert all(found.corrected >= found.value.p for found in family)


def test_the_tax_is_how_much_more_often_the_same_model_is_right_in_english() -> None:
    (found,) = tax(collect([*answers("native", 40, 100), *answers("english", 55, 100)]), "native", "english")
    assert (found.measure, found.way, found.other) == ("tax", "native", "english")
    assert found.value.mean == pytest.approx(0.15)
