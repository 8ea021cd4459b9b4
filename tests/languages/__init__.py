"""The labelled set: short texts of mathematical reasoning in every label, written for this project by its authors.

`LANGUAGE.txt` holds one text a line, with `⏎` for a line break; each text is in its language throughout, but for what
belongs to no language. Of each file every second text is held out: what the rules and words of `pipelines.language`
are tuned on is the other half, and what tests and tables report is the held-out one.

Chains are composed from the texts of a half, by a seed, so that the language of every character is known.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from zlib import crc32

from pipelines.language import LABELS, mask

Half = Literal["tuned", "held out"]

MAIN = ("ru", "uk", "en", "de", "es", "fr", "zh", "ja", "ar")
RELATED = (
    ("ru", "uk", "be", "bg", "sr", "mk", "kk"), ("es", "pt", "gl", "ca"), ("cs", "sk"), ("da", "no", "sv"),
    ("id", "ms", "jv"), ("hi", "mr", "ne"), ("ar", "fa", "ur"), ("zh", "ja"),
)  # fmt: skip
"""Languages that are told apart by little."""

_FOLDER = Path(__file__).parent
_SPEECH = {"zh": 10, "ja": 10, "ko": 10}  # letters that a foreign text of a chain has at least
_LEAST = 25


@cache
def texts(language: str, half: Half) -> tuple[str, ...]:
    lines = (_FOLDER / f"{language}.txt").read_text("utf-8").splitlines()
    first = (crc32(language.encode()) + (half == "held out")) % 2  # so that no kind of text is in one half only
    return tuple(line.replace("⏎", "\n") for line in lines[first::2])


@dataclass(frozen=True, slots=True)
class Chain:
    """A text in `language` but for the spans in `foreign`: (start, end, language)."""

    text: str
    language: str
    foreign: tuple[tuple[int, int, str], ...] = ()

    def language_at(self, start: int, end: int) -> str:
        """The language of most of `text[start:end]`."""
        middle = (start + end) // 2
        return next((name for a, b, name in self.foreign if a <= middle < b), self.language)


def pure(language: str, half: Half, length: int, seed: int = 0) -> Chain:
    """A chain of about so many characters."""
    return _composed(language, _drawn(texts(language, half), length, seed), {})


def contaminated(language: str, other: str, half: Half, length: int, share: float, seed: int = 0) -> Chain:
    """A chain in which about this share (0 to 1) of the letters, and at least one text, is in `other`."""
    chain = _drawn(texts(language, half), length, seed)
    source = random.Random(f"{language} {other} {share} {seed}")  # noqa: S311 - no secret depends on it
    wanted = share * sum(map(_letters, chain)) / (1 - share)
    foreign = [text for text in texts(other, half) if _letters(text) >= _SPEECH.get(other, _LEAST)]
    inserted: dict[int, str] = {}
    while wanted > 0 and len(inserted) < len(chain) // 2:
        text = min(source.sample(foreign, min(3, len(foreign))), key=lambda text: abs(_letters(text) - wanted))
        inserted[source.choice([i for i in range(1, len(chain)) if i not in inserted])] = text
        wanted -= _letters(text)
    return _composed(language, chain, {i: (text, other) for i, text in inserted.items()})


def related(language: str) -> tuple[str, ...]:
    return tuple(name for group in RELATED if language in group for name in group if name != language)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, mask(text)))


def _drawn(of: tuple[str, ...], length: int, seed: int) -> list[str]:
    """Texts in an order by the seed, all before one comes again."""
    source = random.Random(seed)  # noqa: S311 - no secret depends on it
    drawn: list[str] = []
    while sum(map(len, drawn)) < length:
        drawn += source.sample(of, len(of))
    while len(drawn) > 2 and sum(map(len, drawn[:-1])) >= length:
        drawn.pop()
    return drawn


def _composed(language: str, chain: list[str], inserted: dict[int, tuple[str, str]]) -> Chain:
    """Join texts by a space after a full stop, else by a line break; `inserted` come before the text of their index."""
    whole, foreign = "", list[tuple[int, int, str]]()
    for i, text in enumerate(chain):
        if i in inserted:
            whole = _joined(whole, inserted[i][0])
            foreign.append((len(whole) - len(inserted[i][0]), len(whole), inserted[i][1]))
        whole = _joined(whole, text)
    return Chain(whole, language, tuple(foreign))


def _joined(before: str, text: str) -> str:
    if not before:
        return text
    return f"{before}{' ' if before[-1] in '.!?。！？؟۔।։።' else chr(10)}{text}"


def check_that_all_are_there() -> None:
    """Every label has a file, and no file is without a label (AssertionError)."""
    assert {path.stem for path in _FOLDER.glob("*.txt")} == set(LABELS)
