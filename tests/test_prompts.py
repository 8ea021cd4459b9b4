"""prompts: what a translation has to keep, which items are sampled, and what an id depends on."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from pipelines import sources
from pipelines.errors import StageError
from pipelines.hub import Hub
from pipelines.recipe import Recipe
from pipelines.records import Prompt
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import prompts
from pipelines.stages.prompts import defects

EN = "Masha had {} apples in her basket and gave some of them to her younger brother."
RU = "У Маши в корзине лежало {} яблок, и часть из них она отдала своему младшему брату."


def recipe(**changed: Any) -> Recipe:
    source = {"kind": "problems", "families": ["ages"], "rows": 5}
    tree = {
        "name": "r",
        "languages": ["ru", "uk"],
        "engines": {
            "e": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:1/v1"},
            "f": {"kind": "openai", "model": "n", "url": "http://127.0.0.1:1/v1"},
        },
        "prompts": {"sources": [source], "translate": {"engine": "e"}},
        "generate": {"engine": "e"},
        "train": {"student": "a/b"},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": source}],
        },
    }
    return Recipe.model_validate(tree | changed)


# --- what a translation keeps


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("12", "12"),
        ("1,234", "1 234"),
        ("1,234", "1234"),
        ("1,234", "1\u00a0234"),
        ("1,234", "1\u202f234"),
        ("1,234", "1.234"),
        ("1,234,567", "1 234 567"),
        ("2.5", "2,5"),
        ("1,234.5", "1 234,5"),
        ("3 and then 12", "12, а потом 3"),
    ],
)
def test_numbers_survive_in_the_notation_of_another_language(source: str, text: str) -> None:
    assert defects(EN.format(source), RU.format(text), "ru") == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [("12", "13"), ("12", ""), ("12", "12 и 12"), ("3 and then 12", "312"), ("0.5", "5"), ("1,234", "1,235")],
)
def test_a_number_that_is_lost_added_or_changed_is_a_defect(source: str, text: str) -> None:
    assert defects(EN.format(source), RU.format(text), "ru") == ("numbers",)


@pytest.mark.parametrize(("source", "text"), [("2.5", "25"), ("1.25", "125"), ("12.5", "1,25")])
def test_a_lost_decimal_point_is_a_defect(source: str, text: str) -> None:
    assert defects(EN.format(source), RU.format(text), "ru") == ("numbers",)


def test_numbers_survive_in_the_digits_of_another_script() -> None:
    text = "كان لدى ماشا ١٢ تفاحة في سلتها وأعطت بعضا منها لأخيها الأصغر"
    assert defects(EN.format("12"), text, "ar") == ()


@pytest.mark.parametrize("formula", ["$x^2 = y$", "$$x^2$$", r"\(x^2\)", r"\[x^2 = y\]"])
def test_a_formula_has_to_stay_as_it_is(formula: str) -> None:
    changed = formula.replace("x", "z")
    assert "latex" not in defects(EN.format(formula), RU.format(formula), "ru")
    assert "latex" in defects(EN.format(formula), RU.format(changed), "ru")
    assert "latex" in defects(EN.format(formula), RU.format("много"), "ru")


def test_two_prices_are_no_formula() -> None:
    assert defects(EN.format("$13 and $9"), RU.format("13 долларов и 9 долларов"), "ru") == ()


@pytest.mark.parametrize("code", ["`print(a)`", "```\nprint(a)\n```", "```python\nfor a in b:\n    print(a)\n```"])
def test_code_has_to_stay_as_it_is(code: str) -> None:
    assert "code" not in defects(EN.format(code), RU.format(code), "ru")
    assert "code" in defects(EN.format(code), RU.format(code.replace("print", "печать")), "ru")


def test_a_text_that_stayed_in_the_source_language_is_a_defect() -> None:
    assert defects(EN.format("12"), EN.format("12"), "ru") == ("language",)


def test_a_near_relative_is_not_the_language() -> None:
    text = "У Марійки в кошику лежало 12 яблук, і частину з них вона віддала своєму молодшому братові."
    assert defects(EN.format("12"), text, "ru") == ("language",)
    assert defects(EN.format("12"), text, "uk") == ()


def test_no_text_is_only_empty() -> None:
    assert defects(EN.format("12"), "", "ru") == ("empty",)


def test_every_check_that_fails_is_named() -> None:
    source = EN.format("12 $x$ `a`")
    assert defects(source, EN.format("13"), "ru") == ("language", "numbers", "latex", "code")


# --- what is sampled


def item(text: str, row: str = "0", **texts: str) -> sources.Item:
    return sources.Item("made/up", "r", "family", row, texts or {"ru": text}, "1")


def sampled(monkeypatch: pytest.MonkeyPatch, found: list[sources.Item], **changed: Any) -> list[str]:
    def items(*_: object) -> Iterator[sources.Item]:
        yield from found

    monkeypatch.setattr(sources, "items", items)
    run = Run(recipe(**changed), cast(Hub, None), Screen())
    return [one.row for one in prompts._sampled(run, "ru")]


def test_a_text_that_was_there_before_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [item("Два  яблока", "0"), item("два\nяблока ", "1"), item("Три яблока", "2")]
    assert sampled(monkeypatch, found) == ["0", "2"]


def test_a_duplicate_does_not_count_towards_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [item("a", "0"), item("a", "1"), item("b", "2"), item("c", "3")]
    assert sampled(monkeypatch, found, limit=2) == ["0", "2"]


def test_a_duplicate_in_another_source_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"kind": "problems", "families": ["ages"], "rows": 5}
    twice = {"sources": [source, source | {"seed": 1}]}
    assert sampled(monkeypatch, [item("a", "0"), item("b", "1")], prompts=twice) == ["0", "1"]


# --- ids


def identity(one: sources.Item, tongue: str = "ru", **changed: Any) -> str:
    return prompts._item(recipe(**changed), tongue, one).id


def test_the_id_follows_the_text_and_not_its_place() -> None:
    assert identity(item("a", "0")) == identity(item("a", "7"))
    assert identity(item("a")) != identity(item("b"))


def test_a_translated_prompt_is_another_one_with_another_translator() -> None:
    english = item("", en="Two apples")
    by_f = {"sources": [{"kind": "gym", "task": "chain_sum", "rows": 1}], "translate": {"engine": "f"}}
    assert identity(english) != identity(english, prompts=by_f)
    assert identity(item("Два яблока")) == identity(item("Два яблока"), prompts=by_f)


def test_the_same_source_text_in_two_languages_is_two_prompts() -> None:
    english = item("", en="Two apples")
    assert identity(english, "ru") != identity(english, "uk")


def test_a_source_without_the_language_and_without_a_translator_is_one_line() -> None:
    source = {"kind": "gym", "task": "chain_sum", "rows": 1}
    with pytest.raises(StageError, match=r"no text in ru and prompts\.translate is not given: add it"):
        identity(item("", en="Two apples"), prompts={"sources": [source]})


# --- the funnel


def test_the_counts_tell_what_each_check_refused() -> None:
    def prompt(number: int, translator: str | None, *found: str) -> Prompt:
        return Prompt(
            id=str(number), language="ru", text="", source_text="", source_language="en", dataset="", source_row="",
            family="", gold=None, translator=translator, defects=found,
        )  # fmt: skip

    rows = [prompt(0, None), prompt(1, "m"), prompt(2, "m", "numbers", "latex"), prompt(3, "m", "numbers")]
    table = prompts.counts(rows)["ru"]
    assert dict(table) == {"sampled": 4, "translated": 3, "good": 2, "lost: numbers": 2, "lost: latex": 1}
