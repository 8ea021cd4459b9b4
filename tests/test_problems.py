"""The procedural problems: right answers, right inflection, the same stream for the same seed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

import pytest

from pipelines import problems as source
from pipelines.problems import FAMILIES, LANGUAGES, Problem, problems
from pipelines.problems import words as vocabulary
from pipelines.problems.words import BOOK, SEAT, Noun, Story, numeral_form

COUNT = 2_000


def numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def part(text: str) -> int:
    return next(parts for word, parts in (("половин", 2), ("трет", 3), ("четверт", 4)) if word in text.lower())


def minus_when(condition: bool) -> int:
    return -1 if condition else 1


# The answer from the Russian text alone: its numbers in their order, and where it matters the words around them.
SOLVERS: dict[str, Callable[..., float]] = {
    "change": lambda text, count, price, note: note - count * price,
    "purchase": lambda text, a, price, b, other: a * price + b * other,
    "proportion": lambda text, count, cost, other: cost / count * other,
    "savings": lambda text, price, saved, weekly: (price - saved) / weekly,
    "discount": lambda text, price, percent: price * (100 - percent) / 100,
    "sharing": lambda text, total, kept, friends: (total - kept) / friends,
    "giving": lambda text, had, gave, got: had - gave + got,
    "more": lambda text, count, by: count + count + by * minus_when("меньше" in text),
    "times": lambda text, count, factor: count * (1 + factor),
    "packing": lambda text, a, b, size: a / size + b / size,
    "sum_difference": lambda text, total, by: (total - by) / 2,
    "fraction": lambda text, had, gone: had - had / part(text) - gone,
    "percent": lambda text, total, share: total * share / 100,
    "queue": lambda text, before, after: before + after + 1,
    "bus": lambda text, start, off, on, off_again: start - off + on - off_again,
    "seats": lambda text, rows, width, taken: rows * width - taken,
    "legs": lambda text, two, four: 2 * two + 4 * four,
    "thought": lambda text, factor, term, result: (result - term * minus_when("выч" in text)) / factor,
    "average": lambda text, count, *days: sum(days) / count,
    "distance": lambda text, first, fast, second, slow: first * fast + second * slow,
    "meeting": lambda text, one, other, hours: (one + other) * hours,
    "work": lambda text, one, other, total: total / (one + other),
    "pages": lambda text, total, days, daily: total - days * daily,
    "ages": lambda text, age, gap, later: age + gap + later,
    "perimeter": lambda text, length, less: 2 * (length + length - less),
    "area": lambda text, length, width, covered: length * width - covered,
    "minutes": lambda text, hours, rest, then: 60 * hours + rest + then,
    "ribbon": lambda text, metres, rest, cut: 100 * metres + rest - cut,
    "weeks": lambda text, count, wet: 7 * count - wet,
    "temperature": lambda text, start, rise, fall: start * minus_when("мороза" in text) + rise - fall,
}


@pytest.fixture(scope="module")
def told() -> list[Problem]:
    return list(islice(problems(FAMILIES, seed=7), COUNT))


def test_gold_is_what_the_text_says(told: list[Problem]) -> None:
    for problem in told:
        russian = problem.texts["ru"]
        assert SOLVERS[problem.family](russian, *numbers(russian)) == int(problem.gold), problem
        assert problem.gold == str(int(problem.gold))
        assert int(problem.gold) > 0


def test_answers_stay_small(told: list[Problem]) -> None:
    assert sum(int(problem.gold) <= 200 for problem in told) > 0.95 * COUNT


def test_families_take_turns(told: list[Problem]) -> None:
    assert len(FAMILIES) == len(set(FAMILIES)) >= 16
    assert set(SOLVERS) == set(FAMILIES)
    assert [problem.family for problem in told[: 2 * len(FAMILIES)]] == [*FAMILIES, *FAMILIES]


def test_no_text_twice(told: list[Problem]) -> None:
    for language in LANGUAGES:
        assert len({problem.texts[language] for problem in told}) == COUNT


def test_both_languages_tell_the_same_numbers(told: list[Problem]) -> None:
    for problem in told:
        assert tuple(problem.texts) == LANGUAGES
        assert Counter(numbers(problem.texts["ru"])) == Counter(numbers(problem.texts["en"])), problem


def test_texts_are_clean(told: list[Problem]) -> None:
    for problem in told:
        for text in problem.texts.values():
            assert text.endswith("?")
            assert not re.search(r"[{}_<>]|  |\bNone\b|^\s|(?:^|[.?!] )[a-zа-яё]", text), text
        assert re.fullmatch(r"[А-Яа-яЁё0-9 .,:?%/—]+", problem.texts["ru"]), problem
        assert re.fullmatch(r"[A-Za-z0-9 .,:?%/-]+", problem.texts["en"]), problem


def by_the_rule(n: int) -> str:
    """The school rule, over the decimal digits."""
    if re.search(r"1[1-4]$", str(n)):
        return "книг"
    return "книга" if re.search(r"1$", str(n)) else "книги" if re.search(r"[234]$", str(n)) else "книг"


@pytest.mark.parametrize("n", range(126))
def test_numerals_govern_their_noun(n: int) -> None:
    form = by_the_rule(n)
    assert BOOK.ru(n) == f"{n} {form}"
    assert BOOK.ru_acc(n) == f"{n} {form.replace('книга', 'книгу')}"
    assert BOOK.was(n) == ("была" if form == "книга" else "было")
    assert BOOK.en(n) == ("1 book" if n == 1 else f"{n} books")
    assert numeral_form(n) == ("книга", "книги", "книг").index(form)


def every_noun() -> Iterator[Noun]:
    for module in (vocabulary, source.things, source.counts, source.rates):
        for value in vars(module).values():
            yield from (item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Noun))


def test_every_noun_follows_its_numeral_in_the_texts(told: list[Problem]) -> None:
    """Whatever word stands after a number is in the form that the number asks for."""
    forms: dict[str, set[int]] = {}
    for noun in every_noun():
        for index, words in enumerate(((noun.one, noun.accusative), (noun.few,), (noun.many,))):
            for word in words:
                forms.setdefault(word, set()).add(index)
    seen = 0
    for problem in told:
        for digits, word in re.findall(r"(\d+) ([а-яё]+)", problem.texts["ru"]):
            if word in forms:
                seen += 1
                assert numeral_form(int(digits)) in forms[word], problem
    assert seen > COUNT


def test_gender_agrees_with_the_name(told: list[Problem]) -> None:
    names = {person.name: person for person in vocabulary.PEOPLE}
    for problem in told:
        for name, verb in re.findall(r"([А-ЯЁ][а-яё]+) ([а-яё]+(?:л|ла|ёл))\b", problem.texts["ru"]):
            if name in names:
                assert verb.endswith("а") == (names[name].gender == "f"), problem
    assert SEAT.a == "о"


def test_a_seed_fixes_the_stream(told: list[Problem]) -> None:
    assert list(islice(problems(FAMILIES, seed=7), 200)) == told[:200]
    assert list(islice(problems(FAMILIES, seed=8), 200)) != told[:200]


def test_a_family_is_the_same_in_any_company(told: list[Problem]) -> None:
    alone = list(islice(problems(["queue"], seed=7), 20))
    assert alone == [problem for problem in told if problem.family == "queue"][:20]


def test_hundreds_of_each_family() -> None:
    for family in FAMILIES:
        assert len(list(islice(problems([family], seed=3), 500))) == 500


def test_an_unknown_family_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"unknown problem family: chess, go; known: change, purchase"):
        problems(["change", "chess", "go"], seed=0)


def test_an_exhausted_family_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(rng: Random) -> Story:
        return Story(number := rng.randint(1, 3), [(f"Чему равно {number}?", f"What is {number}?")])

    monkeypatch.setitem(source._TELLERS, "small", small)
    stream = problems(["small"], seed=0)
    assert {problem.gold for problem in islice(stream, 3)} == {"1", "2", "3"}
    with pytest.raises(RuntimeError, match="small has nothing new to tell after 3 problems"):
        next(stream)
