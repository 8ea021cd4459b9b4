"""Which parts of a text a reader has to see apart: other languages than its own, and what belongs to no language."""

import re
from dataclasses import dataclass
from itertools import groupby

from pipelines import language
from pipelines.language.segments import mask

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text: in `foreign` (a language's code), or `masked` (maths, code, a name), or neither."""

    text: str
    foreign: str | None = None
    masked: bool = False


def marked(text: str, own: str) -> tuple[Span, ...]:
    """The text in parts, nothing left out, as the report of its languages reads it; `own` is the one it should be in.

    Control characters and those that turn the writing direction around are written out (`visible`).
    """
    kinds = [(kept != letter, "") for kept, letter in zip(mask(text), text, strict=True)]
    for segment in language.report(text, language.LABELS).segments:
        if segment.language not in (own, language.UND):
            for place in range(segment.start, segment.end):
                kinds[place] = kinds[place][0], segment.language
    for place in range(1, len(text)):
        if text[place].isspace():  # so that a formula with spaces is one part
            kinds[place] = kinds[place - 1]
    spans, start = list[Span](), 0
    for (masked, foreign), group in groupby(kinds):
        end = start + len(list(group))
        spans.append(Span(visible(text[start:end]), None if masked else foreign or None, masked))
        start = end
    return tuple(spans)


def visible(text: str) -> str:
    """The text with what a terminal obeys, a browser hides, or a reader is deceived by written out, as \\x1b."""
    return _HIDDEN.sub(_written, text.replace("\r\n", "\n"))


def _written(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
