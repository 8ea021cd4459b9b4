"""answers.py: every row of METHOD.md's list is right, each near miss wrong, and nothing evil stalls a run."""

import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.answers import Answer, extract, value, verify

DIGITS = {"ar": "٠١٢٣٤٥٦٧٨٩", "fa": "۰۱۲۳۴۵۶۷۸۹", "hi": "०१२३४५६७८९", "bn": "০১২৩৪৫৬৭৮৯", "ja": "０１２３４５６７８９"}
NOTATIONS = [  # language, between thousands, before decimals
    ("ru", " ", ","), ("ru", "\u00a0", ","), ("fr", "\u202f", ","), ("uk", r"\,", "{,}"), ("de", ".", ","),
    ("es", ".", ","), ("en", ",", "."), ("zh", ",", "."), ("de", "'", ","), ("ta", ",", "."), ("sw", ",", "."),
]  # fmt: skip
NUMBERS = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=2)


def write(number: Fraction, group: str, mark: str) -> str:
    whole, _, decimals = f"{abs(float(number)):,.2f}".partition(".")
    decimals = decimals.rstrip("0")
    return ("-" if number < 0 else "") + whole.replace(",", group) + (mark + decimals if decimals else "")


@pytest.mark.parametrize(
    ("gold", "right", "wrong", "language"),
    [
        ("3.5", "3,5", "3,6", "ru"),
        ("7/2", "3{,}5", "3{,}05", "ru"),
        ("1/2", "0,5", "0,55", "ru"),
        ("1234", "1 234", "1 243", "ru"),
        ("1234", "1\u00a0234", "1\u00a02340", "ru"),
        ("1234", r"1\,234", r"1\,235", "ru"),
        ("1234.5", "1.234,5", "1.234,6", "de"),
        (r"\tan x", r"\tg x", r"\ctg x", "ru"),
        ("17", "١٧", "١٨", "ar"),
        ("17", "१७", "७१", "hi"),
        ("17", "１７", "１７０", "ja"),
        ("320", "三百二十", "三百零二", "zh"),
        ("35000", "3万5千円", "3万5百円", "ja"),
        ("17", r"\text{17 человек}", r"\text{18 человек}", "ru"),
        ("17", r"17 \text{ мальчиков}", r"71 \text{ мальчиков}", "ru"),
        ("3000000", r"3\ млн", r"3\ млрд", "ru"),
        ("150000", "1.5 लाख", "1.5 करोड़", "hi"),
        ("10", r"10\,км/ч", r"10{,}1\,км/ч", "ru"),
        ("10", "10 м²", "10²", "ru"),
        ("5/2", "2 1/2", "21/2", "en"),
        ("2.5", "2½", "21/2", "ru"),
        ("25", "25 %", "0.25", "ru"),
        ("25%", "0,25", "2,5%", "ru"),
        ("-5", "−5", "5", "ru"),
        ("18", "$18$", "$81$", "ru"),
        ("70000", "70 000 $", "7 000 $", "ru"),
        ("9", "16 - 7 = 9", "16 - 7 = 8", "ru"),
        ("(2,5)", "(2;5)", "(5;2)", "ru"),
        ("(2,5)", "2,5", "2.5", "ru"),
        ("1, 2", "1; 2", "1", "ru"),
        ("2;3", "3; 2", "2", "ru"),
        ("2", "2 шт.", "2;3", "ru"),
        ("2.5", "2,5", "(2;5)", "ru"),
        ("(2;3)", "(2;3)", "[2;3]", "ru"),
        (r"2\sqrt{3}", r"\sqrt{12}", r"\sqrt{6}", "ru"),
        ("3", "3", "3x", "en"),
        ("yes", "Yes", "No", "en"),
        ("yes", "Да", "Нет", "ru"),
        ("Monday", "monday.", "Tuesday", "en"),
        ("B", "Б) 12", "Г", "ru"),
        ("C", "ج", "ب", "ar"),
    ],
)
def test_a_localized_answer_is_right_and_its_near_miss_wrong(gold: str, right: str, wrong: str, language: str) -> None:
    assert verify(gold, right, language).kind == "right"
    assert verify(gold, wrong, language).kind == "wrong"


@pytest.mark.parametrize(
    ("gold", "answer", "language"),
    [
        ("1234", "1,234", "ru"),  # 1.234 or one thousand
        ("18", "18 долларов за 3 дня", "ru"),
        ("Monday", "понедельник", "ru"),
        ("B", "В", "ru"),  # the third letter, or Latin B
        ("1/3", "0.33", "en"),
        ("", "5", "ru"),
    ],
)
def test_what_the_text_does_not_say_is_undecidable(gold: str, answer: str, language: str) -> None:
    assert verify(gold, answer, language).kind == "undecidable"


@given(NUMBERS, st.sampled_from(NOTATIONS))
def test_a_number_written_in_a_locale_is_read_back(number: Fraction, notation: tuple[str, str, str]) -> None:
    language, group, mark = notation
    found = value(write(Fraction(number), group, mark), language)
    assert found
    assert found.value == Fraction(number)


@given(st.integers(0, 10**12), st.sampled_from(sorted(DIGITS)))
def test_all_decimal_digits_are_read(number: int, language: str) -> None:
    found = value("".join(DIGITS[language][int(digit)] for digit in str(number)), language)
    assert found
    assert found.value == number


@given(NUMBERS, NUMBERS, st.sampled_from(NOTATIONS))
def test_no_two_different_numbers_are_equal(a: Fraction, b: Fraction, notation: tuple[str, str, str]) -> None:
    language, group, mark = notation
    verdict = verify(str(float(a)), write(Fraction(b), group, mark), language)
    assert (verdict.kind == "right") == (a == b)


@pytest.mark.parametrize(
    ("text", "answer", "where"),
    [
        (r"Итак, \boxed{3} и \boxed{\frac{1}{2}}.", r"\frac{1}{2}", "boxed"),
        (r"\boxed{4} \boxed{5", "4", "boxed"),
        ("Ответ: 17 мальчиков. Проверка: да.", "17 мальчиков", "marker"),
        ("**Ответ:** 17", "17", "marker"),
        ("Ответ:\n\n3,5", "3,5", "marker"),
        ("The answer is 42.", "42", "marker"),
        ("Ответ: Б) 12", "Б) 12", "marker"),
        ("答え：１７", "１７", "marker"),
        ("答案是17。", "17", "marker"),
        ("الإجابة: ١٧", "١٧", "marker"),
        ("16 - 7 = 9\n#### 9", "9", "marker"),
        ("Решение.\nТаким образом, **18 долларов**.", "18 долларов", "bold"),
        ("Всего 7, то есть 1 234,5 рублей", "1 234,5", "last-number"),
    ],
)
def test_the_answer_is_found_where_it_stands(text: str, answer: str, where: str) -> None:
    assert extract(text, "ru") == Answer(answer, where)


def test_a_text_without_an_answer_has_none() -> None:
    assert extract("не знаю", "ru") is None


def test_an_evil_expression_is_undecidable_and_the_next_one_is_not() -> None:
    verify("x+1", "1+x", "en")  # start the worker
    start = time.perf_counter()
    assert verify("5", "9^{9^{9^{9}}}+x", "en").kind != "right"
    assert time.perf_counter() - start < 3.0
    assert verify("x+1", "1+x", "en").kind == "right"


def test_threads_share_the_worker() -> None:
    kinds: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: kinds.append(verify(f"x+{i}", f"{i}+x", "en").kind)) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == ["right"] * 8


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.sampled_from(["ru", "en", "zh"]))
def test_no_text_crashes_reading(text: str, language: str) -> None:
    extract(text, language)
    value(text, language)
    verify("17", f"17 {text} слова", language)


@pytest.mark.parametrize("text", ["(" * 100_000, "1 " * 50_000, r"\boxed{" * 20_000, "Ответ: " * 20_000, "$" * 100_000])
def test_a_huge_answer_takes_no_time(text: str) -> None:
    start = time.perf_counter()
    extract(text, "ru")
    verify("17", text, "ru")
    assert time.perf_counter() - start < 2.0
