"""choose: the recipe's rule decides, and every row that is not taken says why."""

from typing import Any

import pytest

from pipelines import chains
from pipelines.contamination import Index
from pipelines.recipe import Choose
from pipelines.records import Judged, Prompt, Score
from pipelines.stages.choose import Places, conversation, funnel

NOTHING = Index([])


def judged(
    name: str, prompt: str = "p", tokens: int = 10, scores: dict[str, float] | None = None, **changed: Any
) -> Judged:
    by_judge = (scores or {}).items()
    values: dict[str, Any] = {
        "id": name,
        "prompt": Prompt(
            id=prompt, language="ru", text="Сколько?", source_text="", source_language="ru", dataset="d",
            source_row="0", family="f", gold="1", translator=None, defects=(),
        ),
        "sample": 0,
        "seed": 0,
        "reasoning": "Один.",
        "answer": "Ответ: 1",
        "defects": (),
        "finish_reason": "stop",
        "prompt_tokens": 1,
        "completion_tokens": tokens,
        "engine": "openai",
        "model": "m",
        "model_revision": "r",
        "payload": "x",
        "candidate": f"c-{name}",
        "stopped": None,
        "reason": None,
        "think_language": "ru",
        "think_purity": 1.0,
        "answer_language": "ru",
        "shares": (),
        "extracted": "1",
        "outcome": "right",
        "scores": tuple(Score(judge=one, value=found, model="m", instruction="") for one, found in by_judge),
    }  # fmt: skip
    return Judged(**values | changed)


def verdicts(rows: list[Judged], config: Choose, held: Index) -> dict[str, str | None]:
    places = Places(rows, config, held)
    return {row.id: places.reason(row) for row in rows}


def chosen(rows: list[Judged], **config: Any) -> list[str]:
    return [name for name, reason in verdicts(rows, Choose(**config), NOTHING).items() if reason is None]


def test_the_highest_score_wins() -> None:
    rows = [judged("a", scores={"s": 1}), judged("b", scores={"s": 3}), judged("c", scores={"s": 2})]
    assert chosen(rows, rank=("s",)) == ["b"]


def test_a_leading_minus_lets_the_lowest_win() -> None:
    rows = [judged("a", scores={"s": 2}), judged("b", scores={"s": 1}), judged("c", scores={"s": 3})]
    assert chosen(rows, rank=("-s",)) == ["b"]


@pytest.mark.parametrize(("rule", "winner"), [("tokens", "long"), ("-tokens", "short")])
def test_the_length_can_be_the_rule(rule: str, winner: str) -> None:
    assert chosen([judged("long", tokens=90), judged("short", tokens=5)], rank=(rule,)) == [winner]


def test_the_shortest_wins_where_nothing_else_is_said() -> None:
    assert chosen([judged("long", tokens=90), judged("short", tokens=5)]) == ["short"]


def test_the_next_column_decides_between_equals_only() -> None:
    rows = [
        judged("a", tokens=5, scores={"s": 1}),
        judged("b", tokens=9, scores={"s": 2}),
        judged("c", tokens=7, scores={"s": 2}),
    ]
    assert chosen(rows, rank=("s", "-tokens")) == ["c"]


@pytest.mark.parametrize("rule", ["s", "-s"])
def test_a_missing_score_comes_last_either_way(rule: str) -> None:
    rows = [judged("a"), judged("b", scores={"s": -99}), judged("c", scores={"s": 99})]
    reasons = verdicts(rows, Choose(rank=(rule,)), NOTHING)
    assert reasons["a"] == "place 3 among the prompt's candidates"


def test_each_prompt_has_a_winner_of_its_own() -> None:
    rows = [judged("a", "p"), judged("b", "q", tokens=99), judged("c", "q", tokens=5)]
    assert chosen(rows) == ["a", "c"]


def test_as_many_are_taken_per_prompt_as_the_recipe_says() -> None:
    rows = [judged(name, tokens=tokens) for name, tokens in (("a", 3), ("b", 1), ("c", 2), ("d", 4))]
    reasons = verdicts(rows, Choose(per_prompt=2), NOTHING)
    assert {name for name, reason in reasons.items() if reason is None} == {"b", "c"}
    assert reasons["a"] == "place 3 among the prompt's candidates"
    assert reasons["d"] == "place 4 among the prompt's candidates"


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [judged(name) for name in "dbca"]
    (winner,) = chosen(rows)
    assert chosen(rows[::-1]) == chosen(sorted(rows, key=lambda row: row.id)) == [winner]


def test_what_a_check_stopped_is_refused_with_its_reason() -> None:
    rows = [judged("a", tokens=1, stopped="language", reason="12% of the think block is in ru"), judged("b", tokens=50)]
    assert verdicts(rows, Choose(), NOTHING) == {"a": "language: 12% of the think block is in ru", "b": None}


@pytest.mark.parametrize("outcome", [None, "undecidable"])
def test_an_unverified_answer_is_taken_only_where_the_recipe_allows_it(outcome: str | None) -> None:
    rows = [judged("a", outcome=outcome)]
    assert verdicts(rows, Choose(), NOTHING) == {"a": "the answer could not be verified"}
    assert verdicts(rows, Choose(unverified=True), NOTHING) == {"a": None}


def test_every_row_has_a_verdict() -> None:
    rows = [
        judged("a", stopped="structure", reason="loop"),
        judged("b", outcome=None),
        judged("c"),
        judged("d", tokens=99),
    ]
    assert verdicts(rows, Choose(), NOTHING).keys() == {"a", "b", "c", "d"}


def test_a_prompt_may_end_without_a_winner() -> None:
    assert chosen([judged("a", stopped="answer", reason="wrong", outcome="wrong")], unverified=True) == []


def test_the_training_example_is_the_plain_prompt_and_the_canonical_response() -> None:
    row = judged("a", scores={"s": 2})
    made = conversation(row, None)
    assert [message.role for message in made.messages] == ["user", "assistant"]
    assert made.messages[0].content == row.prompt.text
    assert made.messages[1].content == "<think>\nОдин.\n</think>\n\nОтвет: 1"
    assert chains.split(made.messages[1].content).defects == ()
    assert (made.id, made.candidate, made.teacher, made.teacher_revision) == ("a", "c-a", "m", "r")
    assert (made.reason, made.scores, made.tokens) == (None, row.scores, 10)


@pytest.mark.parametrize(
    ("purity", "translator", "origin"), [(1.0, None, "native"), (1.0, "m", "translated"), (0.9, None, "mixed")]
)
def test_a_training_example_tells_the_origin_of_its_chain(purity: float, translator: str | None, origin: str) -> None:
    row = judged("a", think_purity=purity)
    # a problem that was written in both languages is no translation
    asked = row.prompt.model_copy(update={"source_language": "en", "translator": translator})
    assert conversation(row.model_copy(update={"prompt": asked}), None).origin == origin


def test_a_refused_example_carries_its_reason() -> None:
    assert conversation(judged("a"), "place 2").reason == "place 2"


ITEM = "В саду растёт 12 яблонь и 7 груш. Сколько всего деревьев растёт в этом саду?"


def asked(name: str, text: str, source: str = "", **changed: Any) -> Judged:
    row = judged(name, prompt=name, **changed)
    return row.model_copy(update={"prompt": row.prompt.model_copy(update={"text": text, "source_text": source})})


def test_a_prompt_that_an_evaluation_asks_is_never_trained_on_in_either_language() -> None:
    held = Index([("MGSM, row 3", ITEM), ("MGSM, row 4", "There are 5 cats in the old house by the river. How many?")])
    rows = [
        asked("copy", ITEM.upper()),
        asked("other", "Сколько будет дважды два?"),
        asked("translated", "Сколько кошек?", "There are 5 cats in the old house by the river - how many?"),
    ]
    assert verdicts(rows, Choose(), held) == {
        "copy": "held out: 100% of MGSM, row 3",
        "other": None,
        "translated": "held out: 100% of MGSM, row 4",
    }


def test_no_other_candidate_takes_the_place_of_one_that_is_held_out() -> None:
    rows = [asked("a", ITEM), asked("a", ITEM).model_copy(update={"id": "b"})]
    assert None not in verdicts(rows, Choose(), Index([("x", ITEM)])).values()


def test_the_funnel_ends_with_what_was_chosen() -> None:
    passed = {"ru": {"generated": 9, "answer": 5}, "uk": {"generated": 1, "answer": 0}}
    assert funnel(passed, {"ru": 1}, {"ru": 2}) == {
        "ru": {"generated": 9, "answer": 5, "decontaminated": 4, "chosen": 2},
        "uk": {"generated": 1, "answer": 0, "decontaminated": 0, "chosen": 0},
    }
