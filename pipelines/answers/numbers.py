"""Numbers as they are written in any locale, read as exact fractions."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from pipelines import lexicon
from pipelines.answers.typography import plain, unwrap

_WORDS = lexicon.read("answers")
POINT_GROUPS = frozenset(_WORDS["decimal-comma-point-groups"])  # 1.234,5
SPACE_GROUPS = frozenset(_WORDS["decimal-comma"])  # 1 234,5
_POWERS = {word: int(float(name)) for name, words in _WORDS.items() if name.startswith("1e") for word in words}
_HAN = {**{c: i for i, c in enumerate("〇一二三四五六七八九")}, "零": 0, "两": 2, "兩": 2}
_SMALL = {"十": 10, "百": 100, "千": 1000, "십": 10, "백": 100, "천": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8, "兆": 10**12, "조": 10**12}
_VALUE = re.compile(
    r"(?P<sign>[-+] ?)?(?:(?:(?P<whole>\d+)(?: (?=\d+ ?/)| ?(?=\\frac)))?"
    r"(?:\\frac ?\{ ?(?P<top>\d+) ?\} ?\{ ?(?P<bottom>\d+) ?\}|(?P<up>\d+) ?/ ?(?P<down>\d+))"
    r"|(?P<number>\d+(?:[.,' ’]\d+)*))"
)
_GROUPED = {mark: re.compile(rf"\d{{1,3}}(?:([ '’{mark}])\d{{3}})(?:\1\d{{3}})*") for mark in (".", ",", "")}
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")
_HAN_RUN = re.compile(rf"(?:\d[\d.,]*|[{''.join((*_HAN, *_SMALL, *_LARGE))}])+")
_HAN_PART = re.compile(r"\d[\d.,]*|\D")
_UNIT_POWER = re.compile(r"(?<=[^\W\d_])(?:\^ ?\{?[23]\}?|[23](?!\d))")
_BESIDE = frozenset(" .:'’\"«»“”()%°€£¥₽₹₴₩฿₫₸₺₪$/-¿?!")
_NO_UNIT = re.compile(r"(?<![^\W\d_])(?:[abefijknopqrtu-zBD-EGHIM-UXYZ]|pi|sqrt|sin|cos|tan|log|ln)(?![^\W\d_])")
_ASSIGNED = re.compile(r"^.*=(?=[^=]*\d)", re.DOTALL)
_PERCENT = re.compile(r"%|процент|відсот|percent|prozent|por ciento|por cento|pour cent|per cento|procent")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: what it is in the language's notation, and in another that the writer may have used."""

    value: Fraction
    other: Fraction | None
    percent: bool


def value(text: str, language: str) -> Number | None:
    """Read a text that holds one plain number beside units, nouns and signs; None for anything else.

    Knows the language's groups and decimals, all decimal digits, Chinese numerals, fractions and words of scale.
    """
    text = plain(text)
    brackets, inside = unwrap(text)
    if brackets and ("," in inside or ";" in inside):
        return None  # a pair
    text = _UNIT_POWER.sub("", _ASSIGNED.sub("", text))
    if language in ("zh", "ja", "ko"):
        text = _arabic_digits(text)
    found = list(_VALUE.finditer(text))
    if len(found) != 1:
        return None
    match = found[0]
    before, after = text[: match.start()], text[match.end() :]
    beside = before + " " + after
    if not all(c in _BESIDE or unicodedata.category(c)[0] in "LM" for c in beside) or _NO_UNIT.search(beside):
        return None
    readings = _readings(match, language)
    scale = 1
    if word := re.match(r"[ -]?([^\W\d_][^\s\d.,;:!?()]*)", after):
        scale = _POWERS.get(word[1].lower(), 1)
    sign = -1 if match["sign"] and match["sign"][0] == "-" else 1
    values = [reading * scale * sign for reading in readings]
    if not values:
        return None
    return Number(values[0], values[1] if len(values) > 1 else None, bool(_PERCENT.search(beside.lower())))


def _readings(match: re.Match[str], language: str) -> list[Fraction]:
    """What the matched digits can mean, the language's own notation first; empty if they are no number."""
    number = match["number"]
    if number is None:
        top, bottom = int(match["top"] or match["up"]), int(match["bottom"] or match["down"])
        if not bottom or (match["whole"] and top >= bottom):
            return []
        return [int(match["whole"] or 0) + Fraction(top, bottom)]
    point, comma = _decimal(number, ".", ","), _decimal(number, ",", ".")
    if language in POINT_GROUPS:
        order = [comma, point]
    elif language in SPACE_GROUPS:
        order = [point, comma] if "," not in number else [comma, point]
    else:
        order = [point]
    return list(dict.fromkeys(reading for reading in order if reading is not None))


def _decimal(number: str, mark: str, group: str) -> Fraction | None:
    """`number` with `mark` before the decimals and `group` or a blank between thousands; None if it is ill-formed."""
    whole, found, decimals = number.partition(mark)
    if found and not decimals.isdecimal():
        return None
    if not (whole.isdecimal() or _GROUPED[group].fullmatch(whole) or (group == "," and _INDIAN.fullmatch(whole))):
        return None
    digits = re.sub(r"\D", "", whole)
    return Fraction(int(digits + decimals), 10 ** len(decimals))


def _arabic_digits(text: str) -> str:
    """`3万5千` and `三百二十` in digits. A numeral without digits counts only if it is the only one: 一 is a word."""
    runs = [run for run in _HAN_RUN.findall(text) if not run.isdecimal()]
    if len(runs) > 1 and not all(run[0].isdecimal() for run in runs):
        return text

    def digits(match: re.Match[str]) -> str:
        total = section = Fraction(0)
        pending: Fraction | None = None
        for part in _HAN_PART.findall(match[0]):
            if part[0].isdecimal():
                pending = _decimal(part.rstrip(".,"), ".", ",")
                if pending is None:
                    return match[0]
            elif part in _HAN:
                pending = (pending or 0) * 10 + Fraction(_HAN[part])
            elif part in _SMALL:
                section += (1 if pending is None else pending) * _SMALL[part]
                pending = None
            else:
                section += pending or 0
                total += (section or 1) * _LARGE[part]
                section, pending = Fraction(0), None
        total += section + (pending or 0)
        return str(total.numerator) if total.denominator == 1 else match[0]

    return _HAN_RUN.sub(lambda match: match[0] if match[0].isdecimal() else digits(match), text)
