"""Which chains the student sees, and how often."""

from collections import Counter

import pytest
from pydantic import ValidationError
from rows import prompt

from pipelines.recipe import Mix, Recipe
from pipelines.records import Conversation, Origin
from pipelines.training import mixture

EVERYTHING = {"ru": 200, "sw": 50, "en": 400}


def conversation(number: int, language: str, origin: Origin = "native") -> Conversation:
    return Conversation(
        id=f"{language}{number}",
        language=language,
        messages=(),
        prompt=prompt(number, language),
        candidate="c",
        teacher="t",
        teacher_revision="r",
        outcome="right",
        scores=(),
        tokens=1,
        reason=None,
        origin=origin,
    )


def rows(counts: dict[str, int] = EVERYTHING) -> list[Conversation]:
    return [conversation(number, language) for language, count in counts.items() for number in range(count)]


def shown(mix: Mix, given: list[Conversation], seed: int = 0) -> Counter[str]:
    copies = mixture.copies(mixture.ids(given, mix), mix, seed)
    return Counter(row.id for row in mixture.drawn(given, copies))


def languages(counts: Counter[str]) -> Counter[str]:
    total = Counter[str]()
    for row, count in counts.items():
        total[row[:2]] += count
    return total


def test_without_a_mixture_every_row_is_shown_once() -> None:
    assert set(shown(Mix(), rows()).values()) == {1}
    assert languages(shown(Mix(), rows())) == EVERYTHING


def test_a_weight_is_how_often_a_row_of_the_language_is_shown() -> None:
    counts = shown(Mix(weights={"sw": 2.5, "ru": 0.25}), rows())
    assert languages(counts) == {"ru": 50, "sw": 125, "en": 400}
    assert Counter(count for row, count in counts.items() if row.startswith("sw")) == {2: 25, 3: 25}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_share_of_english_is_reached_with_fewer_or_with_repeated_rows(share: float) -> None:
    total = languages(shown(Mix(weights={"sw": 4}, english=share), rows()))
    assert total["en"] / sum(total.values()) == pytest.approx(share, abs=0.002)
    assert (total["ru"], total["sw"]) == (200, 200)


def test_the_same_seed_draws_the_same_rows_and_another_one_draws_others() -> None:
    mix = Mix(weights={"ru": 0.5})
    assert shown(mix, rows()) == shown(mix, rows())
    assert shown(mix, rows()).keys() != shown(mix, rows(), seed=1).keys()


def test_only_chains_of_the_chosen_origins_are_shown() -> None:
    origins: tuple[Origin, ...] = ("native", "translated", "mixed")
    given = [conversation(number, "ru", origins[number % 3]) for number in range(9)]
    assert shown(Mix(chains=("translated",)), given).keys() == {"ru1", "ru4", "ru7"}
    assert len(shown(Mix(chains=("native", "mixed")), given)) == 6


@pytest.mark.parametrize("mix", [{"english": 0.1}, {"weights": {"uk": 2}}])
def test_a_mixture_names_only_languages_of_the_recipe(mix: dict[str, object]) -> None:
    recipe = {
        "name": "x",
        "languages": ["ru"],
        "engines": {"e": {"kind": "openai", "model": "m", "url": "http://x"}},
        "prompts": {"sources": [{"kind": "problems", "families": [], "rows": 1}]},
        "generate": {"engine": "e"},
        "train": {"student": "a/b", "mix": mix},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "w", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": {"kind": "problems", "families": [], "rows": 1}}],
        },
    }
    with pytest.raises(ValidationError, match=r"train\.mix names (en|uk), and languages does not"):
        Recipe.model_validate(recipe)
