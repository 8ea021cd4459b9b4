"""Numbers in any notation: what is written in a locale is read back, and no two different numbers are equal."""

import string
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.answers import extract, value, values, verify

DIGITS = {
    "ar": "٠١٢٣٤٥٦٧٨٩", "fa": "۰۱۲۳۴۵۶۷۸۹", "hi": "०१२३४५६७८९", "bn": "০১২৩৪৫৬৭৮৯", "ta": "௦௧௨௩௪௫௬௭௮௯",
    "th": "๐๑๒๓๔๕๖๗๘๙", "te": "౦౧౨౩౪౫౬౭౮౯", "km": "០១២៣៤៥៦៧៨៩", "lo": "໐໑໒໓໔໕໖໗໘໙",
    "my": "၀၁၂၃၄၅၆၇၈၉", "ja": "０１２３４５６７８９",
}  # fmt: skip
NOTATIONS = [  # language, between thousands, before decimals
    ("ru", " ", ","), ("ru", "\u00a0", ","), ("fr", "\u202f", ","), ("fr", "\u2009", ","), ("uk", r"\,", "{,}"),
    ("de", ".", ","), ("es", ".", ","), ("tr", ".", ","), ("vi", ".", ","), ("pt", ".", ","), ("id", ".", ","),
    ("en", ",", "."), ("zh", ",", "."), ("ko", ",", "."), ("he", ",", "."), ("de", "'", ","), ("de", "’", "."),
    ("ta", ",", "."), ("sw", ",", "."), ("ru", "", ","), ("ru", "", "."), ("en", r"{,}", "."), ("ar", "٬", "٫"),
    ("fa", "٬", "٫"), ("pl", "\u00a0", ","), ("hi", ",", "."),
]  # fmt: skip
UNITS = [
    "{}",
    "${}$",
    "{} км/ч",
    r"{}\,\text{{м}}^2",
    r"{}~\text{{рублей}}",
    "x = {}",
    "**{}**",
    "{} 個",
    "{}.",
    "«{}»",
]
NUMBERS = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=2).map(Fraction)
CHINESE = "〇一二三四五六七八九"


def write(number: Fraction, group: str, mark: str) -> str:
    whole, _, decimals = f"{abs(float(number)):,.2f}".partition(".")
    decimals = decimals.rstrip("0")
    return ("-" if number < 0 else "") + whole.replace(",", group) + (mark + decimals if decimals else "")


def in_characters(number: int) -> str:
    """A number below 10,000 as it is written in Chinese."""
    text = ""
    for power, sign in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // power % 10
        if digit:
            text += CHINESE[digit] + sign
        elif text and number % power and not text.endswith("零"):
            text += "零"
    return text


def decimal(number: Fraction) -> str:
    """In machine notation; a fraction where the decimals have no end."""
    scaled = number * 10**6
    if scaled.denominator != 1:
        return f"{number.numerator}/{number.denominator}"
    sign, digits = "-" if number < 0 else "", f"{abs(scaled.numerator):07d}"
    return f"{sign}{digits[:-6]}.{digits[-6:]}".rstrip("0").rstrip(".")


@st.composite
def written(draw: st.DrawFn) -> tuple[Fraction, str, str]:
    """A number, a way to write it, and the language."""
    number = draw(st.integers(1, 999))
    digits = draw(st.sampled_from(sorted(DIGITS)))
    small = Fraction(draw(st.integers(1, 9)), 10)
    forms = [
        (Fraction(number), "".join(DIGITS[digits][int(c)] for c in str(number)), digits),
        (Fraction(number), in_characters(number), "zh"),
        (Fraction(number * 10_000), f"{number}万", "zh"),
        (Fraction(number * 10**8), f"{number}億", "ja"),
        (Fraction(number * 10_000 + 5), f"{number}만 5원", "ko"),
        (Fraction(number, 7), rf"\frac{{{number}}}{{7}}", "en"),
        (Fraction(number, 7), f"{number}/7", "ru"),
        (number + Fraction(2, 7), f"{number} 2/7", "ru"),
        (number + Fraction(1, 2), rf"{number}\frac12", "ru"),
        (number + Fraction(1, 2), f"{number}½", "ru"),
        (number + Fraction(1, 3), f"{number},(3)", "ru"),
        (number + Fraction(1, 6), rf"{number}.1\overline{{6}}", "en"),
        ((number + small) * 10**6, f"{number}{str(float(small))[1:].replace('.', ',')} млн", "ru"),
        ((number + small) * 10**3, f"{number}{str(float(small))[1:]} thousand", "en"),
        (Fraction(number * 1000), f"${number}k", "en"),
        (Fraction(number * 10**5), f"{number} लाख", "hi"),
        (Fraction(number * 10**7), f"{number} crore", "en"),
        (Fraction(number) * 10**5, rf"{number} \cdot 10^{{5}}", "ru"),
        (Fraction(number, 10**4), f"{number}·10⁻⁴", "ru"),
        (Fraction(number * 1000 + 17), f"{number} тыс. 17 рублей", "ru"),
        (Fraction(number * 60 + 7), f"{number} ч 7 мин", "ru"),
        (Fraction(-number), f"−{number}", "ru"),
        (Fraction(-number, 2), rf"-\frac{{{number}}}{{2}}", "ru"),
        (Fraction(number), f"всего — {number} рублей", "ru"),
        (Fraction(number), f"{number} (рублей)", "ru"),
    ]
    return draw(st.sampled_from(forms))


@settings(deadline=None)  # the first pair waits for its worker
@given(NUMBERS, st.sampled_from(NOTATIONS))
def test_a_number_written_in_a_locale_is_read_back(number: Fraction, notation: tuple[str, str, str]) -> None:
    language, group, mark = notation
    found = value(write(number, group, mark), language)
    assert found
    assert found.value == number


@settings(deadline=None)  # the first pair waits for its worker
@given(st.integers(0, 10**12), st.sampled_from(sorted(DIGITS)))
def test_all_decimal_digits_are_read(number: int, language: str) -> None:
    found = value("".join(DIGITS[language][int(digit)] for digit in str(number)), language)
    assert found
    assert found.value == number


@settings(deadline=None)  # the first pair waits for its worker
@given(st.integers(1, 9999))
def test_chinese_numerals_are_read(number: int) -> None:
    found = value(in_characters(number), "zh")
    assert found
    assert found.value == number


@settings(deadline=None)  # the first pair waits for its worker
@given(NUMBERS, st.sampled_from(NOTATIONS), st.sampled_from(UNITS))
def test_what_stands_beside_a_number_does_not_change_it(
    number: Fraction, notation: tuple[str, str, str], unit: str
) -> None:
    language, group, mark = notation
    found = value(unit.format(write(number, group, mark)), language)
    assert found
    assert found.value == number


@settings(deadline=None)  # the first pair waits for its worker
@given(NUMBERS, NUMBERS, st.sampled_from(NOTATIONS), st.sampled_from(UNITS))
def test_no_two_different_decimals_are_equal(
    a: Fraction, b: Fraction, notation: tuple[str, str, str], unit: str
) -> None:
    language, group, mark = notation
    assert verify(decimal(b), unit.format(write(b, group, mark)), language).kind == "right"
    if a != b:
        assert verify(decimal(a), unit.format(write(b, group, mark)), language).kind != "right"


@settings(deadline=None)  # the first pair waits for its worker
@given(written(), st.data())
def test_no_two_different_numbers_are_equal_in_whatever_way_they_are_written(
    form: tuple[Fraction, str, str], data: st.DataObject
) -> None:
    number, text, language = form
    assert verify(decimal(number), text, language).kind == "right"
    near = [number + 1, number - 1, number * 10, number / 10, number * 1000, number / 1000, -number, number * 2]
    other = data.draw(st.sampled_from(near) | NUMBERS)
    if other != number:
        assert verify(decimal(other), text, language).kind != "right"


@settings(deadline=None)  # the first pair waits for its worker
@given(written(), written())
def test_two_ways_to_write_numbers_are_equal_only_where_the_numbers_are(
    a: tuple[Fraction, str, str], b: tuple[Fraction, str, str]
) -> None:
    if a[0] != b[0]:
        assert verify(a[1], b[1], b[2]).kind != "right"


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("Было 1 234 яблока, осталось 2,5 %", "ru", [(1234,), (Fraction(5, 2),)]),
        ("1,234 apples and 3/4 of a pear", "en", [(1234,), (Fraction(3, 4),)]),
        ("5万人と３人", "ja", [(50_000,), (3,)]),
        ("1.234", "de", [(1234, Fraction(1234, 1000))]),
        ("ничего", "ru", []),
    ],
)
def test_all_numbers_of_a_text_are_read(text: str, language: str, found: list[tuple[Fraction, ...]]) -> None:
    assert list(values(text, language)) == found


TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
MATHS = st.text(
    string.digits + string.ascii_letters + r"\{}()[]^_+-*/=<>.,;:|!%$& ½²⁵₂√π∞≤±·—–万億十三分之の" + "\n", max_size=40
)


@settings(deadline=None)  # the first pair waits for its worker
@given(TEXT | MATHS, st.sampled_from(["ru", "en", "zh", "ar", "xx"]))
def test_no_text_crashes_reading(text: str, language: str) -> None:
    extract(text, language)
    value(text, language)
    list(values(text, language))


@settings(deadline=None)  # the first pair waits for its worker
@given(TEXT | MATHS, TEXT | MATHS, st.sampled_from(["ru", "en", "zh"]))
def test_no_pair_of_texts_crashes_checking(gold: str, answer: str, language: str) -> None:
    assert verify(gold, answer, language).kind in ("right", "wrong", "undecidable")


@settings(max_examples=15, deadline=None)
@given(st.integers(400, 6000), st.sampled_from("9一百億½⑳1"))
def test_endless_digits_are_no_trouble(count: int, sign: str) -> None:
    verify(sign * count, sign * (count + 1), "zh")
    list(values(sign * count, "zh"))
