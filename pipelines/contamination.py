"""Whether a training prompt is a benchmark item: the same text, or half of it and the same numbers.

Texts are compared as lower-case words without punctuation (signs by sign where a script puts no spaces between words).
An item counts as seen when a prompt holds at least half of its runs of eight words, and its numbers. The numbers are
what tells a copy from another problem of the same kind, which shares every other word.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

RUN = 8
SHARE = 0.5

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\W_])+")
_GROUPED = re.compile(r"(?<=\d)[ \u00a0\u202f.,'](?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Hit:
    """The benchmark item that a prompt is, and how much of its text was found in it (1 for the same text)."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    runs: int
    numbers: Counter[str]


class Index:
    """Texts of benchmarks, by what they hold. A text may have several forms under one name, one for each language."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        """`texts` are names and texts."""
        self._same: dict[tuple[str, ...], str] = {}
        self._entries: list[_Entry] = []
        self._runs: dict[tuple[str, ...], list[int]] = {}
        for name, text in texts:
            tokens = _tokens(text)
            self._same.setdefault(tokens, name)
            runs = set(_windows(tokens))
            for run in runs:
                self._runs.setdefault(run, []).append(len(self._entries))
            self._entries.append(_Entry(name, len(runs), _numbers(text)))

    def find(self, *texts: str) -> Hit | None:
        """The item that any form of a prompt is most of, or None."""
        hits = [hit for text in texts if (hit := self._find(text))]
        return max(hits, key=lambda hit: hit.share, default=None)

    def _find(self, text: str) -> Hit | None:
        tokens = _tokens(text)
        if tokens and (name := self._same.get(tokens)):
            return Hit(name, 1.0)
        shared = Counter(entry for run in set(_windows(tokens)) for entry in self._runs.get(run, ()))
        numbers = _numbers(text)
        for place, count in shared.most_common():
            entry = self._entries[place]
            share = count / entry.runs
            if share >= SHARE and (entry.numbers <= numbers or numbers <= entry.numbers):
                return Hit(entry.name, share)
        return None


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(_plain(text).casefold()))


def _numbers(text: str) -> Counter[str]:
    """In one notation: 1,250 and 1 250 are 1250, and 3,5 is 3.5."""
    return Counter(number.replace(",", ".") for number in _NUMBER.findall(_GROUPED.sub("", _plain(text))))


def _plain(text: str) -> str:
    """One form for each sign, and digits of every script as ours."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in normal)


def _windows(tokens: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (tokens[start : start + RUN] for start in range(len(tokens) - RUN + 1))
