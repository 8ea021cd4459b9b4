"""What a response is worth: the gate comes first, then the terms; nothing is made up where nothing is known."""

import pytest

from pipelines.chains import join, split
from pipelines.recipe import Terms
from pipelines.rewards import GATED, Reward, overrun, worth_trying
from pipelines.rewards import reward as of_chain

RUSSIAN = "Сначала прочитаем условие задачи. Потом сложим двенадцать и пять яблок и получим ответ. Проверим ещё раз."
ENGLISH = "First we read the problem carefully. Then we add twelve and five apples and get the result. Check it again."
RIGHT = join(RUSSIAN, "Ответ: 17")
TERMS = Terms(accuracy=1.0, format=0.1, loop=0.5, length=0.2, budget=100)


def reward(response: str, gold: str, tongue: str, tokens: int, terms: Terms, opened: bool = False) -> Reward:
    return of_chain(split(response, opened), gold, tongue, tokens, terms)


def total(
    response: str, terms: Terms = TERMS, tokens: int = 10, gold: str = "17", opened: bool = False
) -> float | None:
    return reward(response, gold, "ru", tokens, terms, opened).total


@pytest.mark.parametrize(
    "response",
    [
        join(ENGLISH, "Ответ: 17"),
        join(f"{RUSSIAN} {ENGLISH}", "Ответ: 17"),
        join(RUSSIAN, "The answer is seventeen apples, as we have seen above: 17"),
        join(RUSSIAN, f"Итак, мы получили ответ. {ENGLISH} Ответ: 17"),
        "Ответ: 17",
        "",
        join("12 + 5 = 17", "Ответ: 17"),
    ],
    ids=["English think", "mixed think", "English answer", "mixed answer", "no think", "nothing", "no words"],
)
def test_what_is_not_in_the_language_is_worth_minus_one_however_right_it_is(response: str) -> None:
    found = reward(response, "17", "ru", 10, TERMS)
    assert found.total == GATED
    assert found.gate
    assert found.terms == ()


def test_a_right_answer_is_worth_more_than_a_wrong_one_and_a_wrong_one_in_the_language_more_than_none() -> None:
    wrong = total(join(RUSSIAN, "Ответ: 18"))
    assert total(RIGHT) == pytest.approx(1.1)
    assert wrong == pytest.approx(0.1)
    assert wrong > GATED
    assert total(join(RUSSIAN, "17")) == total(RIGHT)  # a bare number is in any language


def test_an_answer_that_cannot_be_decided_is_worth_nothing_at_all() -> None:
    assert reward(join(RUSSIAN, "Ответ: семнадцать яблок или восемнадцать"), "17", "ru", 10, TERMS).total is None


def test_a_block_that_the_template_opened_is_read_from_its_beginning() -> None:
    response = RIGHT.removeprefix("<think>\n")
    assert total(response, opened=True) == total(RIGHT)
    assert total(response) is not None
    assert (total(response) or 0) < (total(RIGHT) or 0)


def test_form_loops_and_length_are_taken_off() -> None:
    def terms(response: str, tokens: int = 10) -> dict[str, float]:
        return dict(reward(response, "17", "ru", tokens, TERMS).terms)

    assert terms(RIGHT) == {"accuracy": 1.0, "format": 0.1, "length": 0.0, "loop": 0.0}
    assert terms(f"Итак, решаем задачу вместе. {RIGHT}")["format"] == 0.0
    looped = terms(join(" ".join([RUSSIAN] * 12), "Ответ: 17"))
    assert (looped["loop"], looped["format"]) == (-0.5, 0.1)
    assert terms(RIGHT, 75)["length"] == pytest.approx(-0.1)
    assert terms(RIGHT, 1000)["length"] == pytest.approx(-0.2)


def test_with_a_term_for_faithfulness_a_mixed_block_is_worth_its_share_of_segments() -> None:
    terms = Terms(faithfulness=0.5)
    found = dict(reward(join(f"{RUSSIAN} {ENGLISH.split('.')[0]}.", "Ответ: 17"), "17", "ru", 10, terms).terms)
    assert found["faithfulness"] == pytest.approx(0.5 * 3 / 4)
    assert dict(reward(RIGHT, "17", "ru", 10, terms).terms)["faithfulness"] == 0.5
    assert total(join(ENGLISH, "Ответ: 17"), terms) == GATED


@pytest.mark.parametrize(("tokens", "expected"), [(0, 0.0), (50, 0.0), (75, 0.5), (100, 1.0), (999, 1.0)])
def test_length_costs_from_half_of_the_budget_on(tokens: int, expected: float) -> None:
    assert overrun(tokens, 100) == expected


@pytest.mark.parametrize(
    ("passed", "candidates", "expected"), [(0, 0, False), (1, 1, False), (0, 2, False), (1, 2, True), (2, 2, False)]
)
def test_only_a_prompt_that_is_sometimes_solved_teaches(passed: int, candidates: int, expected: bool) -> None:
    assert worth_trying(passed, candidates) is expected


def test_the_band_can_be_narrower() -> None:
    taken = [passed for passed in range(9) if worth_trying(passed, 8, above=0.25, below=0.75)]
    assert taken == [3, 4, 5]
