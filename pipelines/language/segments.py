"""A text cut into segments of one script each: sentences and lines, and runs of a foreign script inside them.

What is in no language (maths, code, links, numbers, identifiers, quotations) is blanked first.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pipelines import lexicon

_MASK = re.compile(
    r"""
    (?=[`~$\\<\d"«“„「『]|(?<![A-Za-z])(?![a-z]{2,}[ ,;!?\n])[A-Za-z_])(?: # one look rules most letters out
      (```|~~~)[\s\S]{0,8000}?(?:\1|\Z)                       # fenced code, also where the chain was cut
    | `[^`\n]{1,400}`                                         # inline code
    | \$\$[\s\S]{1,2000}?\$\$ | \\\[[\s\S]{0,2000}?\\\] | \\\([\s\S]{0,2000}?\\\)
    | \\begin\{[^{}\n]*\}[\s\S]{0,4000}?\\end\{[^{}\n]*\}
    | (?<![\\$])\$(?!\s)[^$\n]{0,300}?(?<![\s\\])\$(?!\d)     # a dollar sum has a space or a digit there
    | \\[A-Za-z]+\*?(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}\n]*\})*\})*\})*
    | (?:https?://|www\.)[^\s<>]+ | [A-Za-z0-9_][\w.+-]{0,64}@[\w-]{1,64}\.[\w.]{2,64}
    | </?[A-Za-z][^<>\n]{0,80}>
    | \d[\d.,:/]{0,20}\s?(?:[кмсд]?м|кг|м?г|[мк]?л|км/ч|м/с|см|мм|км|ч|с|мин|руб|[kcmd]?m|k?g|m?g|m?l|km/h|m/s|h|s|min)
      (?:[²³]|\^\d)?(?![A-Za-zА-яё])                               # a number with its unit
    | (?<![\w.])[A-Za-z_][\w.]{0,60}(?:\(\)|\((?=[\w,\s]{0,40}\)))  # a call
    | \b(?:[A-Za-z]+[_\d]|[A-Za-z]*[a-z][A-Z])\w*             # snake_case, x1, camelCase
    | (?<![^\W\d_]|[\u00ad\u200b-\u200f\u2060\ufeff])[A-Za-z](?![^\W\d_]|[\u00ad\u200b-\u200f\u2060\ufeff]) # a variable
    | (?<![A-Z][ ])\b[A-Z]{2,6}\b(?![ ][A-Z]{2})              # GCD
    | (?:(?<!\S)"|[«“„「『])[^"«»”“„」』\n]{1,200}["»”“」』](?=[\s.,;:!?)。、，？！：；]|\Z) # a quotation
    | \d+)
    """,
    re.VERBOSE,
)
_VISIBLE = re.compile(r"[^\n]")
_SENTENCE = re.compile(r"(?:[^\n.!?…。！？؟۔।॥։።]+|[.!?…]+(?![\s.!?…]))+[.!?…。！？؟۔।॥։።]*")
_LONG = 400  # characters; a line without a full stop is cut at commas, so that nothing hides in it
_PART = re.compile(rf"[\s\S]{{200,{_LONG}}}?[,;:，、；،؛]|[\s\S]{{1,{_LONG}}}(?:(?<=\s)|\Z)|[\s\S]{{1,{_LONG}}}")
_WORD = re.compile(r"[^\W\d_]{2,}")

_BLOCKS = lexicon.read("blocks")
_CODE = frozenset(lexicon.read("code")["code"])
ALONE = {"cjk": 2, "hangul": 2, "thai": 3, "lao": 3, "khmer": 3, "burmese": 3}  # letters that make a word or two
BICAMERAL = ("latin", "cyrillic", "greek")  # here a word with a capital may be a name
LATIN_WORDS = 3  # plain words that make a foreign run speech; fewer are terms and code, which all languages borrow
_NAMES = ("", *_BLOCKS)


_Ints = np.ndarray[Any, np.dtype[np.intp]]
_Codes = np.ndarray[Any, np.dtype[np.uint8]]


def mask(text: str) -> str:
    """The text with all that is in no language turned to spaces; same length, same line breaks."""
    return _MASK.sub(lambda match: _VISIBLE.sub(" ", match.group()), text)


def plain_words(text: str) -> list[str]:
    """The words that are no names: not capitalised, or all in a line in capitals; nor words of code."""
    words = _WORD.findall(text)
    if len(words) > 3 and text.isupper():
        return words
    return [word for word in words if not word[0].isupper() and word not in _CODE]


class Piece(NamedTuple):
    """A segment before it has a language; `text` holds the letters of its own script only."""

    start: int
    end: int
    script: str
    letters: int
    text: str


def cut(masked: str) -> tuple[list[Piece], str]:
    """Cut a masked text into segments, each in one script, and name the script of most letters."""
    points = np.frombuffer(masked.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = _script_table()[np.minimum(points, 0xFFFF)]
    places = np.flatnonzero(codes)
    if not len(places):
        return [], ""
    scripts = codes[places]
    changes = np.concatenate(([0], np.cumsum(scripts[1:] != scripts[:-1])))  # of the script, up to each letter
    main = _main(masked, codes, np.bincount(scripts, minlength=len(_NAMES)))
    spans = np.array(list(_spans(masked)), np.intp)
    edges = np.searchsorted(places, spans)  # the letters inside each
    pieces: list[Piece] = []
    for a, b in edges[edges[:, 0] < edges[:, 1]].tolist():
        if changes[a] == changes[b - 1]:
            first, last = int(places[a]), int(places[b - 1]) + 1
            pieces.append(Piece(first, last, _NAMES[scripts[a]], b - a, masked[first:last]))
        else:
            pieces += _runs(masked, places[a:b], scripts[a:b], main)
    return pieces, _NAMES[main]


def _spans(masked: str) -> Iterator[tuple[int, int]]:
    for sentence in _SENTENCE.finditer(masked):
        if sentence.end() - sentence.start() <= _LONG:
            yield sentence.span()
        else:
            yield from (part.span() for part in _PART.finditer(masked, *sentence.span()))


def _main(masked: str, codes: _Codes, counts: _Ints) -> int:
    """The script of most letters; where that is not clear, of most letters in words that are no names."""
    top, second = np.argsort(counts)[:-3:-1].tolist()
    if 4 * counts[second] <= counts[top] or _NAMES[top] not in BICAMERAL:
        return int(top)
    plain = np.zeros(len(counts))
    for word in _WORD.finditer(masked):
        if not word.group()[0].isupper() and word.group() not in _CODE:
            plain[codes[word.start()]] += len(word.group())
    return int(np.argmax(plain)) or int(top)


def _runs(masked: str, places: _Ints, scripts: _Codes, main: int) -> list[Piece]:
    """Cut a sentence of several scripts where a run of a foreign one is more than a name or a word of code."""
    if main not in scripts:
        main = int(np.bincount(scripts).argmax())
    edges = [0, *(np.flatnonzero(np.diff(scripts)) + 1).tolist(), len(scripts)]
    parts: list[tuple[int, list[tuple[int, int, int]]]] = []  # script and runs: (start, end, letters)
    for a, b in pairwise(edges):
        script, run = int(scripts[a]), (int(places[a]), int(places[b - 1]) + 1, b - a)
        if script == main or _speaks(masked[run[0] : run[1]], _NAMES[script], b - a):
            if not parts or parts[-1][0] != script:
                parts.append((script, []))
            parts[-1][1].append(run)
    return [
        Piece(
            runs[0][0],
            runs[-1][1],
            _NAMES[script],
            sum(letters for _, _, letters in runs),
            " ".join(masked[start:end] for start, end, _ in runs),
        )
        for script, runs in parts
    ]


def _speaks(run: str, script: str, letters: int) -> bool:
    """Whether a run of a foreign script inside a sentence is speech of its own."""
    if script in BICAMERAL:
        return len(plain_words(run)) >= (LATIN_WORDS if script == "latin" else 1)
    return letters >= ALONE.get(script, 6)


@cache
def _script_table() -> _Codes:
    """The index in `_NAMES` of the script of each character of the basic plane; 0 for what is no letter."""
    table = np.zeros(1 << 16, np.uint8)
    for code, ranges in enumerate(_BLOCKS.values(), start=1):
        for first, last in (span.split("-") for span in ranges):
            for point in range(ord(first), ord(last) + 1):
                if unicodedata.category(chr(point))[0] in "LM":
                    table[point] = code
    return table
