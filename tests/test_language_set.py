"""language.py on the labelled set of tests/languages: the goals hold on its held-out half."""

from functools import cache
from pathlib import Path

import pytest

from pipelines.language import LABELS, likelihoods
from tests import languages
from tests.languages import MAIN, RELATED, contaminated, pure, texts
from tests.languages.scores import Named, accuracy, contamination, mixed, named, ours, single, whole


@cache
def in_pure_chains() -> tuple[Named, ...]:
    return tuple(named(whole("held out"), ours))


@cache
def in_mixed_chains() -> tuple[Named, ...]:
    return tuple(named(mixed("held out"), ours))


def wrong(found: list[Named]) -> set[tuple[str, str, str]]:
    return {(one.language, one.said, one.text) for one in found if not one.right}


def test_the_set_has_texts_of_every_label() -> None:
    files = Path(languages.__file__).parent.glob("*.txt")
    assert sorted(file.stem for file in files) == sorted(LABELS)
    for label in LABELS:
        both = texts(label, "tuned") + texts(label, "held out")
        assert len(set(both)) == len(both) >= (40 if label in MAIN else 10), label


@pytest.mark.parametrize("language", LABELS)
def test_a_contaminated_chain_is_foreign_where_it_says_so(language: str) -> None:
    other = "de" if language == "en" else "en"
    chain = contaminated(language, other, "held out", 1500, 0.1)
    assert chain.foreign
    for start, end, name in chain.foreign:
        assert chain.text[start:end] in texts(name, "held out")
    share = sum(end - start for start, end, _ in chain.foreign) / len(chain.text)
    assert 0.02 < share < 0.3


@pytest.mark.parametrize("language", MAIN)
def test_99_percent_of_a_main_languages_segments_are_right(language: str) -> None:
    found = [one for one in (*in_pure_chains(), *in_mixed_chains()) if one.chain == language]
    assert accuracy(found) >= 0.99, wrong(found)


def test_97_percent_of_all_segments_are_right() -> None:
    found = [*in_pure_chains(), *in_mixed_chains()]
    assert accuracy(found) >= 0.97, wrong(found)
    alone = list(named(single("held out"), ours))  # a text without neighbours, many of one or two words
    assert accuracy(alone) >= 0.97, wrong(alone)


@pytest.mark.parametrize("group", [MAIN, LABELS], ids=["main", "all"])
def test_contamination_is_found_with_precision_and_recall_of_95_percent(group: tuple[str, ...]) -> None:
    found = [one for one in in_mixed_chains() if one.chain in group]
    measured = contamination(found)
    assert measured.precision >= 0.95, wrong(found)
    assert measured.recall >= 0.95, wrong(found)


@pytest.mark.parametrize("group", RELATED, ids="/".join)
def test_related_languages_are_told_apart(group: tuple[str, ...]) -> None:
    alike = [one for one in in_pure_chains() if one.language in group]
    assert accuracy(alike) >= 0.99, wrong(alike)
    beside = [one for one in in_mixed_chains() if one.chain in group and one.language in group]
    assert accuracy(beside) >= 0.95, wrong(beside)


def test_langids_own_decisions_are_reproduced() -> None:
    import langid.langid

    identifier = langid.langid.LanguageIdentifier.from_modelstring(langid.langid.model)
    items = [text for label in LABELS for text in texts(label, "held out")] + [pure("ru", "held out", 4000).text, ""]
    assert likelihoods.decide(items) == [identifier.classify(item)[0] for item in items]
