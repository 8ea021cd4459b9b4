"""examples.py: what a card shows of a model was picked by a rule, not by a person."""

from typing import Any

import pytest
from rows import result

from pipelines.examples import LONGEST, excerpt, pairs
from pipelines.recipe import Way
from pipelines.records import Result

WAYS = [
    Way(name=name, model=model, instruction="plain.v1")
    for name, model in (("base", "base"), ("told", "base"), ("trained", "trained"))
]


def rows(*verdicts: tuple[int, bool, bool], **changed: Any) -> list[Result]:
    """For each item how the base and the trained model did."""
    return [
        result(way, item, joint, sample, **changed)
        for item, before, after in verdicts
        for sample in (1, 0)
        for way, joint in (("base", before), ("told", True), ("trained", after))
    ]


@pytest.mark.parametrize("worse", [True, False])
def test_the_first_item_on_which_the_models_differ_is_shown_whichever_did_better(worse: bool) -> None:
    made = rows((1, True, True), (4, not worse, worse), (3, worse, not worse))
    (pair,) = pairs(WAYS, lambda: made[::-1])
    assert (pair.before.item, pair.before.joint, pair.after.joint) == ("3", worse, not worse)
    assert (pair.before.way, pair.after.way, pair.before.sample) == ("base", "trained", 0)


def test_where_they_do_not_differ_the_first_item_is_shown_and_each_language_has_its_own() -> None:
    made = [*rows((2, True, True), (1, True, True)), *rows((5, False, True), language="de")]
    shown = {pair.after.language: pair.after.item for pair in pairs(WAYS, lambda: made)}
    assert shown == {"ru": "1", "de": "5"}


def test_without_a_trained_model_or_an_item_that_both_answered_nothing_is_shown() -> None:
    assert pairs(WAYS[:2], lambda: rows((1, True, True))) == []
    assert pairs(WAYS, lambda: [row for row in rows((1, True, True)) if row.way != "trained"]) == []


def test_a_long_chain_is_cut_and_says_so() -> None:
    text = excerpt(result("base", 1, joint=True, reasoning="x" * (LONGEST + 7), answer="42"))
    assert "[7 more characters]" in text
    assert text.endswith("42")
