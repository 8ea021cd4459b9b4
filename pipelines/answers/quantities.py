"""Quantities in units: `2 часа 40 минут`, `2:40`, `5 m 20 cm`, `2 млн 500 тыс.`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pipelines import lexicon
from pipelines.answers.numbers import decimals, scale

COUNT = "count"  # the dimension of words of scale

_UNITS: dict[str, dict[str, int]] = {}
for _name, _words in lexicon.read("units").items():
    for _word in _words:
        _UNITS.setdefault(_word.replace("_", " "), {})[_name.partition("/")[0]] = int(_name.partition("/")[2])
_ATTACHED = re.compile("|".join(sorted((word for word in _UNITS if word > "\u0e00"), key=len, reverse=True)))
_PART = re.compile(
    r"(?P<number>\d{1,3}(?:[ ,.'’]\d{3}){1,4}(?!\d)|\d{1,15}(?:[.,]\d{1,15})?)[ -]?"
    r"(?P<word>[^\s\d.,;:!?()/^*=+<>|\\{}-]+)?(?P<ratio> ?[/^·*])?"
)
_BETWEEN = re.compile(r"[\s.,]*(?:[^\W\d_]{1,4}\s+)?")  # "2 hours and 40 minutes"
_BARE = re.compile(r"([^\s\d.,;:!?()/^*=+<>|\\{}-]+)\s+(?:[^\W\d_]{1,4}[ -]?)?$")
_CLOCK = re.compile(r"[^\d:]*(?<!\d)(\d{1,2}):(\d\d)(?::(\d\d))?(?![\d:])\s*(?:([ap])\.?\s?m\b)?[^\d:]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """How much of a dimension, in its smallest unit, and the sizes of the units that were named.

    `total` holds one entry per dimension that the units can belong to: `m` is a metre and a minute.
    """

    total: Mapping[str, Fraction]
    sizes: Mapping[str, tuple[int, ...]]

    @property
    def compound(self) -> bool:
        return any(len(sizes) > 1 for sizes in self.sizes.values())

    def counts(self) -> set[Fraction]:
        """The numbers that say as much in one of the named units."""
        return {total / size for name, total in self.total.items() for size in self.sizes[name]}

    def equals(self, other: "Quantity") -> bool | None:
        """None where the two have no dimension in common."""
        common = self.total.keys() & other.total.keys()
        return any(self.total[name] == other.total[name] for name in common) if common else None


def quantity(text: str, language: str) -> Quantity | None:
    """Read a text that holds nothing but one quantity; None for anything else, and for a bare number."""
    if time := _CLOCK.fullmatch(text):
        return _clock(time)
    parts = list(_PART.finditer(text))
    if not parts or any(part["ratio"] for part in parts) or len(parts) > 4:
        return None
    beside = [text[: parts[0].start()], *(text[a.end() : b.start()] for a, b in pairwise(parts))]
    if any(c.isdecimal() for c in "".join(beside)) or not all(_BETWEEN.fullmatch(gap) for gap in beside[1:]):
        return None
    numbers = [(decimals(part["number"], language) or [None])[0] for part in parts]
    named = [_units(part["word"] or "") for part in parts]
    if one := _BARE.search(beside[0]):  # an hour and 40 minutes
        above = {name: size for name, size in _units(one[1]).items() if size > named[0].get(name, size)}
        if above and COUNT not in above:
            numbers, named = [Fraction(1), *numbers], [above, *named]
    if len(parts) > 1:
        rest = {COUNT: 1} if named[-1] else {COUNT: 1, "time": 60 if named[-2].get("time") == 3600 else 1}
        named[-1] = {**rest, **named[-1]}  # 2 тысячи 300 рублей; 2 h 40
    total, sizes = dict[str, Fraction](), dict[str, tuple[int, ...]]()
    for dimension in named[0]:
        found = tuple(units.get(dimension, 0) for units in named)
        falling = all(a > b for a, b in zip(found, (*found[1:], 0), strict=True))
        if falling and all(number is not None for number in numbers):
            total[dimension] = sum((n * size for n, size in zip(numbers, found, strict=True) if n), Fraction(0))
            sizes[dimension] = (1,) if dimension == COUNT else found
    return Quantity(total, sizes) if total else None


def _clock(time: re.Match[str]) -> Quantity | None:
    """`2:40` is two hours and forty minutes, or two minutes and forty seconds: a dimension each."""
    first, second, third = int(time[1]), int(time[2]), int(time[3] or 0)
    if second > 59 or third > 59:
        return None
    if time[4]:
        first = first % 12 + (12 if time[4].lower() == "p" else 0)
    hours = Fraction(first * 3600 + second * 60 + third)
    if time[3] or time[4]:
        return Quantity({"time": hours}, {"time": (3600, 60, 1)})
    return Quantity({"time": hours, "minutes": hours / 60}, {"time": (3600, 60), "minutes": (60, 1)})


def _units(word: str) -> Mapping[str, int]:
    """The dimensions that a unit can belong to, each with the unit's size."""
    word = word.lower()
    if found := _UNITS.get(word):
        return {**found, "minutes": found["time"]} if found.get("time", 3600) < 3600 else found
    if (power := scale(word)) > 1:
        return {COUNT: power}
    attached = _ATTACHED.match(word)
    return _units(attached[0]) if attached else {}
