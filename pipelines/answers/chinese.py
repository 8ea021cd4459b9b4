"""Numerals in Chinese characters and Korean letters, turned into digits."""

import re
from fractions import Fraction

_DIGITS = {**{c: i for i, c in enumerate("〇一二三四五六七八九")}, "零": 0, "两": 2, "兩": 2}
_SMALL = {"十": 10, "百": 100, "千": 1000, "십": 10, "백": 100, "천": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8, "兆": 10**12, "조": 10**12}
_SIGNS = "".join((*_DIGITS, *_SMALL, *_LARGE))
_ANY = re.compile(f"[{_SIGNS}分분]")
_RUN = re.compile(rf"(?:\d[\d.,]*|[{_SIGNS}])+")
_PART = re.compile(r"\d[\d.,]*|\D")
_BLANK = re.compile(r"(?<=[만천억조])\s(?=\d)")
_FRACTION = re.compile(rf"([\d{_SIGNS}]+)\s?(?:分之|分の|분의)\s?([\d{_SIGNS}]+)")

_DIGIT_FRACTION = re.compile(r"(\d+)\s?(?:分之|分の|분의)\s?(\d+)")


def arabic_digits(text: str, words: bool = True) -> str:
    """`3万5千`, `三百二十`, `三分之一` in digits.

    A numeral without digits counts only where there are no digits and no other numeral, since 一 is a word as well;
    where `words` is false, it never counts.
    """
    if not _ANY.search(text):
        return text
    text = text.replace("百分之", "%")
    text = _BLANK.sub("", text)
    text = (_FRACTION if words else _DIGIT_FRACTION).sub(lambda match: f"{_number(match[2])}/{_number(match[1])}", text)
    runs = [run for run in _RUN.findall(text) if not run[0].isdecimal()]
    if not words or any(c.isdecimal() for c in text) or len(runs) > 1:
        return _RUN.sub(lambda match: _number(match[0]) if match[0][0].isdecimal() else match[0], text)
    return _RUN.sub(lambda match: _number(match[0]), text)


def _number(run: str) -> str:
    """A numeral in digits, or itself where it is no whole number."""
    if run.isdecimal():
        return run
    total = section = Fraction(0)
    pending: Fraction | None = None
    for part in _PART.findall(run):
        if part[0].isdecimal():
            digits = part.rstrip(".,").replace(",", "")
            if digits.count(".") > 1:
                return run
            pending = Fraction(digits)
        elif part in _DIGITS:
            pending = (pending or 0) * 10 + Fraction(_DIGITS[part])
        elif part in _SMALL:
            section += (1 if pending is None else pending) * _SMALL[part]
            pending = None
        else:
            section += pending or 0
            total += (section or 1) * _LARGE[part]
            section, pending = Fraction(0), None
    total += section + (pending or 0)
    return str(total.numerator) if total.denominator == 1 else run
