"""Which language each part of a text is in.

`mask` blanks what belongs to no language (maths, code, links, numbers, identifiers); what is left is cut into
segments: sentences and lines, and inside them any run of a foreign script that is more than a name. Every segment is
scored for each label by langid's model, by the letters its alphabet has and has not, and by its commonest words; the
segments of one script then take the sequence of languages with the best total, where each change has a price. So a
short segment follows its neighbours, and a long one speaks for itself.

langid knows neither Hausa nor Uzbek nor Burmese: the first two are told by letters and words, the last by its script.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines import lexicon
from pipelines.language import likelihoods
from pipelines.language.segments import ALONE, BICAMERAL, PLAIN_WORD, cut, mask

UND = "und"
LABELS: tuple[str, ...] = tuple(lexicon.read("labels")["labels"])
"""The 38 languages of the reference and their nearest relatives, ISO 639-1."""

FLOOR = 4  # letters a segment needs to be given a language; two in the scripts that write syllables or words
LANGID_WEIGHT = 0.2  # its features overlap, so its log-odds are several times too sure
WORD_WEIGHT = 5.0  # log-odds of a common word, shared among the labels that have it
LETTER_COST = 3.0  # log-odds against a label for each letter its alphabet has not
PRIOR = 3.0  # log-odds of the languages that models know best: they slip into these
SWITCH_COST = 8.0  # log-odds that a change of language must be worth


_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0dff])+(?:['’ʻʼ][^\W\d_]+)*")  # letters and marks
_SCRIPTS = lexicon.read("scripts")
_LARGEST = frozenset(("en", "ru", "ar", "hi"))  # one of each script
_ALPHABETS = lexicon.read("alphabets")
_WORDS = lexicon.read("words")
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Ints = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, slots=True)
class Segment:
    """`text[start:end]` and its language; "und" below the floor."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Report:
    """The languages of a text: `language` has most letters, `shares` (summing to 1) come largest first."""

    language: str
    shares: tuple[tuple[str, float], ...]
    segments: tuple[Segment, ...]

    def share(self, language: str) -> float:
        """Share (0 to 1) of the determined letters that are in `language`."""
        return dict(self.shares).get(language, 0.0)

    def strict(self, language: str) -> bool:
        """Whether every determined segment is in `language`, and at least one is."""
        return [name for name, _ in self.shares] == [language]

    @property
    def switches(self) -> tuple[int, ...]:
        """Offsets at which a determined segment differs in language from the one before it."""
        determined = [segment for segment in self.segments if segment.language != UND]
        return tuple(b.start for a, b in pairwise(determined) if a.language != b.language)


def report(text: str, labels: Collection[str]) -> Report:
    """Name the language of each segment, out of `labels` (ISO 639-1 codes of `LABELS`; ValueError for others).

    A segment in a script that no label writes is named out of all of `LABELS`, so that it never passes as one's own.
    """
    pieces, main = cut(mask(text))
    names: list[str] = [UND] * len(pieces)
    for script in {piece.script for piece in pieces}:
        candidates = _candidates(tuple(sorted(labels)), script)
        bare = script in BICAMERAL and script != main  # names stay in their script in any text
        group = [i for i, piece in enumerate(pieces) if piece.script == script and piece.letters >= _floor(script)]
        for i, name in zip(group, _decide([pieces[i].text for i in group], script, candidates, bare), strict=True):
            names[i] = name
    weights: dict[str, int] = {}
    for piece, name in zip(pieces, names, strict=True):
        if name != UND:
            weights[name] = weights.get(name, 0) + piece.letters
    total = sum(weights.values())
    shares = sorted(((name, weight / total) for name, weight in weights.items()), key=lambda item: (-item[1], item[0]))
    segments = tuple(Segment(piece.start, piece.end, name) for piece, name in zip(pieces, names, strict=True))
    return Report(shares[0][0] if shares else UND, tuple(shares), segments)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What tells the labels of one script apart; `rows` has one column per label, the rest leads to its rows."""

    columns: tuple[tuple[int, ...], ...]  # langid's classes of each label
    prior: _Floats
    rows: _Floats
    letters: dict[str, int]
    words: dict[str, int]
    telling: re.Pattern[str]  # the letters that not all labels have


def _decide(texts: Sequence[str], script: str, labels: tuple[str, ...], names: bool) -> list[str]:
    """The likeliest sequence of languages for consecutive segments of one script; "und" if all could be `names`."""
    if not texts or (len(labels) == 1 and not names):
        return [labels[0]] * len(texts)
    evidence = _evidence(script, labels)
    scores = likelihoods.score(texts, evidence.columns) * LANGID_WEIGHT + evidence.prior
    spoken = not names
    for row, text in zip(scores, texts, strict=True):
        lower = text.lower()
        words = [evidence.words[word] for word in _WORD.findall(lower) if word in evidence.words]
        letters = [evidence.letters[letter] for letter in evidence.telling.findall(lower)]
        row += evidence.rows[words + letters].sum(0)
        spoken = spoken or bool(words) or bool(PLAIN_WORD.search(text))
    if not spoken:
        return [UND] * len(texts)  # capitalised and unknown: names
    return [labels[i] for i in _path(scores)]


def _path(scores: _Floats) -> list[int]:
    """The columns, one per row, with the largest sum of scores less `SWITCH_COST` for each change (Viterbi)."""
    best: _Floats = scores[0]
    origins: list[_Ints] = []
    for row in scores[1:]:
        top = int(np.argmax(best))
        floor = float(best[top]) - SWITCH_COST
        origins.append(np.where(best < floor, top, np.arange(len(best))))
        best = np.maximum(best, floor) + row
    path = [int(np.argmax(best))]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


@cache
def _evidence(script: str, labels: tuple[str, ...]) -> _Evidence:
    classes = likelihoods.classes()
    variants = {"no": ("no", "nb", "nn")}
    columns = tuple(
        tuple(classes.index(name) for name in variants.get(label, (label,)) if name in classes) for label in labels
    )
    alphabets = [_alphabet(label) for label in labels]
    every = frozenset[str]().union(*(_alphabet(label) for label in LABELS if _script(label) == script))
    common = [frozenset(_WORDS.get(label, ())) for label in labels]
    rows: list[_Floats] = []
    letters: dict[str, int] = {}
    for letter in sorted(every):
        letters[letter] = len(rows)
        rows.append(np.array([0.0 if letter in alphabet else -LETTER_COST for alphabet in alphabets]))
    words: dict[str, int] = {}
    for word in sorted(frozenset[str]().union(*common)):
        words[word] = len(rows)
        has = np.array([word in group for group in common], np.float64)
        rows.append(has * (WORD_WEIGHT / np.sqrt(has.sum())))
    telling = re.compile(f"[{''.join(letters)}]" if letters else "(?!)")
    prior = np.array([PRIOR if label in _LARGEST else 0.0 for label in labels])
    return _Evidence(columns, prior, np.array(rows).reshape(-1, len(labels)), letters, words, telling)


def _alphabet(label: str) -> frozenset[str]:
    """The letters of a label that not every label of its script has."""
    letters = "".join(_ALPHABETS.get(label, ()))
    spans = re.findall("(.)-(.)", letters)
    ranges = (chr(point) for first, last in spans for point in range(ord(first), ord(last) + 1))
    return frozenset(re.sub(".-.", "", letters)).union(ranges)


@cache
def _candidates(labels: tuple[str, ...], script: str) -> tuple[str, ...]:
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ValueError(f"unknown language labels: {' '.join(unknown)}; known are: {' '.join(sorted(LABELS))}")
    return tuple(name for name in labels if _script(name) == script) or tuple(
        name for name in LABELS if _script(name) == script
    )


@cache
def _script(label: str) -> str:
    return next((script for script, labels in _SCRIPTS.items() if label in labels), "latin")


def _floor(script: str) -> int:
    return ALONE.get(script, FLOOR)
