"""Numbers as they are written in any locale, read as exact fractions."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pipelines import lexicon
from pipelines.answers.chinese import arabic_digits
from pipelines.answers.typography import ascii_digits, plain, unwrap

_WORDS = lexicon.read("answers")
_POINT_GROUPS = frozenset(_WORDS["decimal-comma-point-groups"])  # 1.234,5
_SPACE_GROUPS = frozenset(_WORDS["decimal-comma"])  # 1 234,5
_EITHER = frozenset(_WORDS["decimal-either"])  # 1,234.5, and 3,5 all the same
LONGEST = 1000  # characters of a number
COMMA = _POINT_GROUPS | _SPACE_GROUPS
_POWERS = {word: int(float(name)) for name, words in _WORDS.items() if name.startswith("1e") for word in words}
_ATTACHED = re.compile("|".join(word for word in _POWERS if word > "\u0e00"))  # scripts without blanks between words
_PERCENT = re.compile("|".join(map(re.escape, _WORDS["percent"])).replace("_", " "))
_COUNTING = {Fraction(name): frozenset(words) for name, words in lexicon.read("counting").items()}
_WORD = re.compile(r"[a-z]+")
_D = r"\d{1,400}"  # a longer row of digits is no number
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![^\W_])[-+](?=[\d\\]) | (?:^|(?<=[(=]))\s*[-+]\s)?  # "costs - 5" holds a dash
    (?: (?:(?P<whole>{_D})(?:[ ](?={_D}[ ]?/)|[ ]?(?=\\frac)))?
        (?: \\frac[ ]?\{{[ ]?(?P<top>{_D})[ ]?\}}[ ]?\{{[ ]?(?P<bottom>{_D})[ ]?\}}
          | (?P<up>{_D})[ ]?/[ ]?(?P<down>{_D}) )
      | (?P<ahead>{_D}[.,]\d{{0,20}})\((?P<period>\d{{1,20}})\)                 # 0,1(6)
      | (?P<number>{_D}(?:[.,'’ ]{_D})*)
        (?: [ ]?(?:\\cdot|\\times|[·×*xх])[ ]?10[ ]?\^[ ]?\{{?[ ]?(?P<power>[-+]?\d{{1,3}})[ ]?\}}?
          | [eE](?P<exponent>[-+]?\d{{1,3}})(?![\w.,]))? )
    """,
    re.VERBOSE,
)
_GROUPED = {mark: re.compile(rf"\d{{1,3}}(?:([ '’{mark}])\d{{3}})(?:\1\d{{3}})*") for mark in (".", ",", "")}
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")
_SCALE = re.compile(r"[ -]?([^\W\d_][^\s\d.,;:!?()]*)")
_UNIT_POWER = re.compile(r"(?<=[^\W\d_])(?<!\d[eE])(?:\s?\^ ?\{?[23]\}?|[23](?!\d))")
_BESIDE = frozenset(" .:'’\"«»“”()%°€£¥₽₹₴₩฿₫₸₺₪$/-–—¿?!≈~№#·*।።។۔՝")
_NO_UNIT = re.compile(r"(?<![^\W\d_])(?:[abefijknopqrtu-zBD-EGHIM-UXYZ]|pi|sqrt|sin|cos|tan|log|ln)(?![^\W\d_])")
_ASSIGNED = re.compile(r"^(?:[^;,]|,(?!\s))*(?:(?<![!<>=:])=(?![=>])|≈)(?=[^=≈]*\d)", re.DOTALL)
_REMARK = re.compile(r"(?<=\s)\([^()]*[^\W\d_][^()]*\)|(?<=[^\W\d_]\s)\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: what it is in the language's notation, and in another that the writer may have used."""

    value: Fraction
    other: Fraction | None
    percent: bool


def value(text: str, language: str) -> Number | None:
    """Read a text that holds one plain number beside units, nouns and signs; None for anything else.

    Knows the language's groups and decimals, all decimal digits, Chinese numerals, fractions, periods, powers of ten
    and words of scale. A remark in brackets does not count.
    """
    text = plain(text)
    brackets, inside = unwrap(text)
    if brackets and ("," in inside or ";" in inside):
        return None  # a pair
    text = arabic_digits(_UNIT_POWER.sub("", _ASSIGNED.sub("", text)))
    found = list(_NUMBER.finditer(text))
    if len(found) > 1:
        text = _REMARK.sub("", text)
        found = list(_NUMBER.finditer(text))
    if len(found) != 1:
        return None
    match = found[0]
    before, after = text[: match.start()], text[match.end() :]
    if after.startswith("!"):
        return None  # a factorial
    beside = f"{before} {after}"
    if not all(c in _BESIDE or unicodedata.category(c)[0] in "LM" for c in beside) or _NO_UNIT.search(beside):
        return None
    values = _readings(match, language, after)
    if not values:
        return None
    return Number(values[0], values[1] if len(values) > 1 else None, bool(_PERCENT.search(beside.lower())))


def values(text: str, language: str) -> Iterator[tuple[Fraction, ...]]:
    """All numbers of a text in their order, each with what it can mean, the language's own notation first."""
    text = arabic_digits(ascii_digits(text), words=False)
    for match in _NUMBER.finditer(text):
        if found := _readings(match, language, text[match.end() : match.end() + 40]):
            yield tuple(found)
        else:
            yield from ((Fraction(digits),) for digits in re.findall(_D, match[0]))


def said(text: str) -> set[Fraction]:
    """The numbers that an English text may say in words: `three`, `half`, `twice`, `a`."""
    words = set(_WORD.findall(text.lower()))
    return {number for number, known in _COUNTING.items() if not known.isdisjoint(words)}


def _readings(match: re.Match[str], language: str, after: str) -> list[Fraction]:
    """What the matched digits can mean, the language's own notation first; empty if they are no number."""
    word = _SCALE.match(after)
    factor = Fraction((scale(word[1]) if word else 1) * (-1 if (match["sign"] or "").strip() == "-" else 1))
    if power := match["power"] or match["exponent"]:
        factor *= Fraction(10) ** int(power)
    if number := match["number"]:
        return [reading * factor for reading in decimals(number, language)]
    if ahead := match["ahead"]:
        return [_periodic(ahead, match["period"]) * factor]
    top, bottom = int(match["top"] or match["up"]), int(match["bottom"] or match["down"])
    if not bottom or (match["whole"] and top >= bottom):
        return []
    return [(int(match["whole"] or 0) + Fraction(top, bottom)) * factor]


def decimals(number: str, language: str) -> list[Fraction]:
    """What digits with marks between them can mean, the language's own notation first."""
    if len(number) > LONGEST:
        return []
    point, comma = _decimal(number, ".", ","), _decimal(number, ",", ".")
    if language in _POINT_GROUPS:
        order = [comma, point]
    elif language in _SPACE_GROUPS:
        order = [point, comma] if "," not in number else [comma, point]
    elif language in _EITHER:
        order = [point, comma]
    else:
        order = [point]
    return list(dict.fromkeys(reading for reading in order if reading is not None))


def _decimal(number: str, mark: str, group: str) -> Fraction | None:
    """`number` with `mark` before the decimals and `group` or a blank between thousands; None if it is ill-formed."""
    whole, found, digits = number.partition(mark)
    if found and not digits.isdecimal():
        return None
    if not (whole.isdecimal() or _GROUPED[group].fullmatch(whole) or (group == "," and _INDIAN.fullmatch(whole))):
        return None
    return Fraction(int(re.sub(r"\D", "", whole) + digits), 10 ** len(digits))


def _periodic(ahead: str, period: str) -> Fraction:
    """`0,1(6)` is one sixth."""
    whole, digits = re.split("[.,]", ahead)
    repeated = Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(digits))
    return Fraction(int(whole + digits), 10 ** len(digits)) + repeated


def scale(word: str) -> int:
    """What a word such as `тыс` or `million` multiplies by; 1 for all others."""
    if power := _POWERS.get(word.lower()):
        return power
    attached = _ATTACHED.match(word)
    return _POWERS[attached[0]] if attached else 1
