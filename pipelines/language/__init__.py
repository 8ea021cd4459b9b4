"""Which language each part of a text is in.

`mask` blanks what belongs to no language (maths, code, links, numbers, identifiers, quotations); what is left is cut
into segments: sentences and lines, and inside them any run of a foreign script that is more than a name. Every segment
is scored for each label by langid's model, by the letters its alphabet has and has not, and by its commonest words; the
segments of one script then take the sequence of languages with the best total, where each change has a price. So a
short segment follows its neighbours, and a long one speaks for itself.

langid knows neither Hausa nor Uzbek nor Burmese: the first two are told by letters and words, the last by its script.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, repeat

import numpy as np

from pipelines import lexicon
from pipelines.language import likelihoods
from pipelines.language.likelihoods import Floats, Ints
from pipelines.language.segments import ALONE, BICAMERAL, cut, mask, plain_words

UND = "und"
LABELS: tuple[str, ...] = tuple(lexicon.read("labels")["labels"])
"""The 38 languages of the reference and their nearest relatives, ISO 639-1."""

FLOOR = 4  # letters a segment needs to be given a language; two in the scripts that write syllables or words
LANGID_WEIGHT = 0.3  # its features overlap, so its log-odds are several times too sure
WORD_WEIGHT = 8.0  # log-odds of a common word, shared among the labels that have it
LETTER_COST = 4.0  # log-odds against a label for each letter its alphabet has not
PRIORS = {"ru": 3.0, **dict.fromkeys(("en", "de", "es", "fr", "zh", "ar", "hi"), 1.0)}
"""Log-odds of the languages with most text: a word that several have is rather theirs."""
SWITCH_COST = 6.5  # log-odds that a change of language must be worth


_TOKEN = re.compile(r"\n|[\w\u0300-\u036f\u064b-\u065f\u0900-\u0dff]+(?:['’ʻʼ]\w+)*")  # letters and marks
_NO_WORDS = {"": 0, "\n": 1}  # the rows of what tells nothing: a word that is not known, the end of a line
_SCRIPTS = lexicon.read("scripts")
_ALPHABETS = lexicon.read("alphabets")
_WORDS = lexicon.read("words")
_VARIANTS = {  # langid's classes of a label, where they are not that one alone
    ("no", "latin"): ("no", "nb", "nn"),
    ("hr", "latin"): ("hr", "bs"),
    ("sr", "latin"): ("hr", "bs"),  # it was taught Serbian in Cyrillic: in Latin script only words tell the two apart
}
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Segment:
    """`text[start:end]` and its language; "und" below the floor."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of language at the offset `start`."""

    start: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Report:
    """The languages of a text: `language` has most letters, `shares` (summing to 1) come largest first."""

    language: str
    shares: tuple[tuple[str, float], ...]
    segments: tuple[Segment, ...]

    def share(self, language: str) -> float:
        """Share (0 to 1) of the determined letters that are in `language`."""
        return dict(self.shares).get(language, 0.0)

    def majority(self, language: str) -> bool:
        """Whether most letters are in `language`: what identifiers of whole texts say (the literature's top-1)."""
        return self.language == language

    def strict(self, language: str) -> bool:
        """Whether every determined segment is in `language`, and at least one is.

        What is allowed in any language takes no part: maths, code, links, quotations; and beside another script names
        and one or two words in Latin letters.
        """
        return [name for name, _ in self.shares] == [language]

    @property
    def switches(self) -> tuple[Switch, ...]:
        """Where a determined segment differs in language from the one before it."""
        determined = [segment for segment in self.segments if segment.language != UND]
        return tuple(
            Switch(b.start, a.language, b.language) for a, b in pairwise(determined) if a.language != b.language
        )


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
    """What tells the labels of one script apart; the rows have one column per label."""

    columns: tuple[tuple[int, ...], ...]  # langid's classes of each label
    prior: Floats
    letters: Ints  # per character of the basic plane: its row in `letter_rows`; the first is for all that tell nothing
    letter_rows: Floats
    words: dict[str, int]  # their rows in `word_rows`, after those of `_NO_WORDS`
    word_rows: Floats


def _decide(texts: Sequence[str], script: str, labels: tuple[str, ...], names: bool) -> list[str]:
    """The likeliest sequence of languages for consecutive segments of one script; "und" if all could be `names`."""
    if not texts or (len(labels) == 1 and not names):
        return [labels[0]] * len(texts)
    evidence = _evidence(script, labels)
    texts = [_plain(text) for text in texts]
    lines = "\n".join(texts).lower()
    owners, words = _known_words(lines, evidence)
    if names and not len(words) and not any(map(plain_words, texts)):
        return [UND] * len(texts)  # capitalised and unknown: names
    scores = likelihoods.score(texts, evidence.columns) * LANGID_WEIGHT + evidence.prior
    scores += likelihoods.added(evidence.word_rows[words], owners, len(texts))
    scores += _letter_counts(lines, len(texts), evidence) @ evidence.letter_rows
    return [labels[i] for i in _path(scores)]


def _plain(text: str) -> str:
    """The text as its letters would be typed: composed, visible, one space between words, not in capitals."""
    text = " ".join(text.split())
    if text.isascii():
        return text.lower() if text.isupper() else text
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return text.lower() if text.isupper() else text


def _known_words(lines: str, evidence: _Evidence) -> tuple[Ints, Ints]:
    """The line and the row of each word that some label has among its commonest."""
    if len(evidence.words) == len(_NO_WORDS):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    tokens = _TOKEN.findall(lines)
    rows = np.fromiter(map(evidence.words.get, tokens, repeat(0)), np.intp, len(tokens))
    places = np.flatnonzero(rows >= len(_NO_WORDS))
    return np.cumsum(rows == _NO_WORDS["\n"])[places], rows[places]


def _letter_counts(lines: str, count: int, evidence: _Evidence) -> Floats:
    """How often each line has each letter that not all labels have."""
    points = np.frombuffer(lines.encode("utf-32-le", "surrogatepass"), np.uint32)
    owners = np.cumsum(points == ord("\n"))
    size = len(evidence.letter_rows)
    found = np.bincount(owners * size + evidence.letters[np.minimum(points, 0xFFFF)], minlength=count * size)
    return found.reshape(count, size).astype(np.float64)


def _path(scores: Floats) -> list[int]:
    """The columns, one per row, with the largest sum of scores less `SWITCH_COST` for each change (Viterbi).

    Consecutive rows that speak most for the same column are taken as one, which spares most of the steps.
    """
    tops = scores.argmax(1)
    starts = np.flatnonzero(np.diff(tops, prepend=-1))
    best: list[Floats] = []
    for row in np.add.reduceat(scores, starts):
        best.append(np.maximum(best[-1], best[-1].max() - SWITCH_COST) + row if best else row)
    column = int(best[-1].argmax())
    path: list[int] = []
    for totals, size in zip(reversed(best), reversed(np.diff(starts, append=len(tops)).tolist()), strict=True):
        if path and totals[column] < totals.max() - SWITCH_COST:
            column = int(totals.argmax())
        path += [column] * size
    return path[::-1]


@cache
def _evidence(script: str, labels: tuple[str, ...]) -> _Evidence:
    classes = likelihoods.classes()
    columns = tuple(
        tuple(classes.index(name) for name in _VARIANTS.get((label, script), (label,)) if name in classes)
        for label in labels
    )
    alphabets = [_alphabet(label) for label in labels]
    letters = np.zeros(1 << 16, np.intp)
    letter_rows: list[Floats] = [np.zeros(len(labels))]
    for letter in sorted(frozenset[str]().union(*(_alphabet(label) for label in _writers(script)))):
        letters[ord(letter)] = len(letter_rows)
        letter_rows.append(np.array([0.0 if letter in alphabet else -LETTER_COST for alphabet in alphabets]))
    common = [frozenset(_WORDS.get(label, ())) for label in labels]
    words = dict(_NO_WORDS)
    word_rows = [np.zeros(len(labels)) for _ in words]
    for word in sorted(frozenset[str]().union(*common)):
        words[word] = len(word_rows)
        has = np.array([word in group for group in common], np.float64)
        word_rows.append(has * (WORD_WEIGHT / np.sqrt(has.sum())))
    prior = np.array([PRIORS.get(label, 0.0) for label in labels])
    return _Evidence(columns, prior, letters, np.array(letter_rows), words, np.array(word_rows))


def _alphabet(label: str) -> frozenset[str]:
    """The letters of a label that not every label of its script has."""
    letters = "".join(_ALPHABETS.get(label, ()))
    spans = re.findall("(.)-(.)", letters)
    ranges = (chr(point) for first, last in spans for point in range(ord(first), ord(last) + 1))
    return frozenset(re.sub(".-.", "", letters)).union(ranges)


@cache
def _candidates(labels: tuple[str, ...], script: str) -> tuple[str, ...]:
    """The labels that are written in a script; if none is, all languages that are."""
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ValueError(f"unknown language labels: {' '.join(unknown)}; known are: {' '.join(sorted(LABELS))}")
    return tuple(name for name in labels if name in _SCRIPTS[script]) or _writers(script)


@cache
def _writers(script: str) -> tuple[str, ...]:
    """The labels that are written in a script; where there are none, the other languages that are."""
    return tuple(name for name in _SCRIPTS[script] if name in LABELS) or tuple(_SCRIPTS[script])


def _floor(script: str) -> int:
    return ALONE.get(script, FLOOR)
