"""reference: the published table stands beside ours, and five questions are shown for what they are worth."""

from itertools import product

import pytest

from pipelines.measures import collect, summarise
from pipelines.reference import beside, published
from pipelines.tables import beside as shown
from tests.rows import result


def test_five_questions_leave_a_wide_interval() -> None:
    correct = published().shares["ru"]["correct"]
    assert (correct.mean, correct.low, correct.high) == pytest.approx((0.8, 0.376, 0.964), abs=5e-4)


def test_every_share_is_one_of_so_many_questions() -> None:
    table = published()
    for language, measure in product(table.shares, ("valid_think", "think_majority", "answer_in_language", "correct")):
        count = table.shares[language][measure].mean * table.questions
        assert count == pytest.approx(round(count))


def test_ours_stand_beside_it_in_the_languages_that_both_have() -> None:
    rows = [result("trained", item, item < 90, language=language) for language in ("ru", "de") for item in range(100)]
    lines = summarise(collect(rows))
    found = beside(lines)
    assert [(row.language, row.measure) for row in found] == [
        ("ru", name) for name in ("valid_think", "think_majority", "answer_in_language", "correct")
    ]
    card = shown(found, published().model)
    assert "| ru | b | trained | correct | 80 (38–96) | 5\\* | 90 (83–94) | 100 |" in card


def test_nothing_in_common_leaves_no_table() -> None:
    assert shown(beside(summarise(collect([result("a", 1, True, language="de")]))), "m") == ""
