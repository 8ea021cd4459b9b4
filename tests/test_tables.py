"""tables.py: rates and differences with honest intervals, the same for the same rows."""

import io
import random
from itertools import product
from math import isnan

import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from pipelines.records import Result
from pipelines.tables import FEW, MEASURES, Difference, compare, markdown, rate, render, summarise


def result(way: str, item: int, joint: bool, sample: int = 0, language: str = "ru", tokens: int = 100) -> Result:
    return Result(
        id=f"{way}{item}{sample}{language}",
        model="m",
        model_revision="r",
        way=way,
        benchmark="b",
        family="f",
        language=language,
        item=str(item),
        question="?",
        gold="1",
        sample=sample,
        reasoning="",
        answer="",
        defects=(),
        finish_reason="stop",
        completion_tokens=tokens,
        valid_think=True,
        think_language="ru",
        think_strict=joint,
        answer_in_language=True,
        output_language="ru",
        output_strict=False,
        extracted=None,
        outcome="right" if joint else "wrong",
        correct=joint,
        joint=joint,
    )


def answers(way: str, right: int, items: int, samples: int = 1) -> list[Result]:
    return [result(way, item, item < right, sample) for item, sample in product(range(items), range(samples))]


def screen(rows: list[Result], differences: list[Difference], width: int = 300) -> str:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    render(summarise(rows), differences, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_there_is_a_line_for_each_way_benchmark_and_language_in_order_of_appearance() -> None:
    rows = [result("z", 1, True), result("a", 1, True, language="uk"), result("a", 1, True), result("z", 2, False)]
    assert [(line.way, line.language, line.items) for line in summarise(rows)] == [
        ("z", "ru", 2),
        ("a", "uk", 1),
        ("a", "ru", 1),
    ]


@pytest.mark.parametrize(
    ("right", "items", "low", "high"),
    [(4, 5, 0.376, 0.964), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (50, 100, 0.404, 0.596)],
)
def test_one_sample_per_item_gives_the_interval_of_wilson(right: int, items: int, low: float, high: float) -> None:
    (line,) = summarise(answers("a", right, items))
    assert (line.joint.mean, line.joint.low, line.joint.high) == pytest.approx((right / items, low, high), abs=5e-4)


def test_more_samples_of_an_item_that_agree_make_no_interval_narrower() -> None:
    (one,), (four,) = summarise(answers("a", 30, 50)), summarise(answers("a", 30, 50, samples=4))
    assert one.joint == four.joint


def test_samples_are_averaged_over_items_before_items_are_averaged() -> None:
    rows = [result("a", 1, True, sample, tokens=10) for sample in range(9)] + [result("a", 2, False, tokens=30)]
    (line,) = summarise(rows)
    assert (line.items, line.joint.mean, line.tokens) == (2, 0.5, 20)


def test_the_bootstrap_of_items_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        found = rate(rng.binomial(4, rng.beta(2, 2, size=60)) / 4)
        hits += found.low <= 0.5 <= found.high
    assert hits >= 52  # 57 are expected


def test_the_order_of_the_rows_changes_no_number() -> None:
    rows = [*answers("a", 20, 40, 2), *answers("b", 9, 40, 2)]
    shuffled = random.Random(0).sample(rows, len(rows))  # noqa: S311 - a shuffle, not a secret
    assert compare(rows, "a", "b", "joint") == compare(shuffled, "a", "b", "joint")
    assert {*summarise(rows)} == {*summarise(shuffled)}


def test_a_difference_is_paired_item_by_item() -> None:
    rows = [*answers("a", 60, 100), *answers("b", 50, 100)]
    difference = compare(rows, "a", "b", "joint")
    assert difference.mean == pytest.approx(0.1)
    assert 0.03 < difference.low < 0.1 < difference.high < 0.17  # unpaired, it would reach beyond zero
    assert 0.0005 < difference.p < 0.004  # 2 of 2 ** 10: ten items differ, all to one side


def test_no_difference_has_an_interval_around_zero_and_a_large_p() -> None:
    difference = compare([*answers("a", 50, 100), *answers("b", 50, 100)], "a", "b", "correct")
    assert (difference.mean, difference.low, difference.high, difference.p) == (0, 0, 0, 1)
    assert 0.01 < difference.least < 0.1  # nothing was seen, which is not: nothing is there


def test_items_that_only_one_way_was_asked_are_left_out_and_counted() -> None:
    difference = compare([*answers("a", 5, 40), *answers("b", 0, 30)], "a", "b", "joint")
    assert (difference.items, difference.missing) == (30, 10)
    assert "10 items" in markdown((), [difference])


def test_nothing_in_common_is_told_and_no_error() -> None:
    difference = compare(answers("a", 5, 40), "a", "b", "joint")
    assert difference.items == 0
    assert isnan(difference.mean)
    assert "| – |" in markdown((), [difference])


def test_the_least_difference_shrinks_with_the_number_of_items() -> None:
    few, many = (compare([*answers("a", n // 2, n), *answers("b", n // 4, n)], "a", "b", "joint") for n in (50, 800))
    assert many.least == pytest.approx(few.least / 4, rel=0.1)


def test_screen_and_card_show_the_same_cells_and_mark_small_numbers() -> None:
    rows = [*answers("a [b] | `c`", 8, 12), *answers("[bold]d", 40, 80)]
    differences = [compare(rows, "a [b] | `c`", "[bold]d", "joint")]
    shown, card = screen(rows, differences), markdown(summarise(rows), differences)
    tokens = MarkdownIt("commonmark").enable("table").parse(card)
    cells = [inner.content for token in tokens for inner in token.children or () if inner.type == "text"]
    for cell in ("b", "a [b] | `c`", "[bold]d", "12*", "80", "67 (39–86)", "100 (76–100)", *MEASURES.values()):
        assert cell in cells
        assert cell in shown
    assert f"fewer than {FEW} items" in shown
    assert f"fewer than {FEW} items" not in screen(answers("a", 40, 80), [])


def test_no_number_is_cut_on_a_narrow_screen() -> None:
    rows = [*answers("base instructed", 60, 200), *answers("trained", 200, 200)]
    shown = screen(rows, [compare(rows, "trained", "base instructed", "joint")], width=80)
    assert "…" not in shown
    assert {"(24–37)", "(98–100)", "200"} <= set(shown.split())
    assert max(len(line) for line in shown.splitlines() if "(98–100)" in line) <= 80


def test_nothing_at_all_is_an_empty_table() -> None:
    assert (summarise([]), markdown((), ()), screen([], [])) == ((), "", "")


def test_a_screen_shows_the_differences_of_each_part_side_by_side() -> None:
    both = [*answers("a", 30, 40), *answers("b", 10, 40)]
    rows = [row.model_copy(update={"benchmark": name}) for name in ("known", "unseen") for row in both]
    parts = [
        rows,
        [row for row in rows if row.benchmark == "known"],
        [row for row in rows if row.benchmark == "unseen"],
    ]
    shown = screen([], [compare(part, "a", "b", "joint") for part in parts])
    (line,) = (line for line in shown.splitlines() if line.strip().startswith("joint"))
    assert line.count("+50") == 3
