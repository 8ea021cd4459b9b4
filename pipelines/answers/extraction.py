"""Where a response states its final answer: in a box, behind a marker, as an option, in bold, at the end."""

import re
import unicodedata
from dataclasses import dataclass

from pipelines import lexicon
from pipelines.answers.options import is_option, last_option
from pipelines.answers.typography import boxed

NEAR = 80  # characters before a marker that tell what it is
LONG = 4000  # characters behind a marker, more than an answer has
SHORT = 100  # characters of a last line that can be an answer by itself

_WORDS = lexicon.read("answers")


def _phrases(name: str, spaced: bool = True) -> str:
    """The words of a lexicon row as a pattern, the longest first: of the scripts with blanks between words, or not."""
    words = sorted((word for word in _WORDS[name] if (word < "\u0e00") == spaced), key=len, reverse=True)
    return "|".join(map(re.escape, words)).replace("_", r"\s")


_COLON = ":：፦៖՝"
_NO_ENDING = rf"\s\d{_COLON}=*_.,;!?()«»\"$\\–—-"
_SPACED = re.compile(
    rf"(?<![^\W\d_])(?:{_phrases('answer')})(?!ed\b|ing\b|s\b)[^{_NO_ENDING}]{{0,4}}",
    re.IGNORECASE,
)
_UNSPACED = re.compile(_phrases("answer", spaced=False))
_GAP = rf"[^\n{_COLON}.!?;=$\\]"
_IS = re.compile(
    rf"[ \t*_]*(?:{_GAP}{{0,40}}[{_COLON}]|[=–—-]|{_GAP}{{0,40}}?(?<![^\W\d_])(?:{_phrases('is')})(?=[\s\d$\\*\"(])"
    rf"|(?:{_phrases('is-beside')})[ \t]+|(?:{_phrases('is', spaced=False)})[ \t]*[{_COLON}]?|(?=[ \t]*[-−]?[\d$\\]))"
    rf"[ \t*_{_COLON}]*",
    re.IGNORECASE,
)
_CHECK = re.compile(_phrases("check") + "|" + _phrases("check", spaced=False), re.IGNORECASE)
_GSM = re.compile(r"####[ \t]*(\S[^\n]*)")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__")
_FORMULA = re.compile(
    r"\$\$(.{1,400}?)\$\$|(?<!\$)\$(?!\s)([^$\n]{1,400}?)(?<!\s)\$(?!\d)|\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"(?<![\d.,])[-−]?(?:\d{1,3}(?:[\u00a0\u202f\u2009 ',.٬]\d{3})+(?!\d)|\d+)(?:[.,٫]\d+)?(?:\s?/\s?\d+)?(?:\s?[%٪])?"
)
_SENTENCE_END = re.compile(r"(?<!^\w)[.!?](?=\s)|[。！？।።។۔]")
_EDGES = " \t*_#>-"


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer and where it stood.

    "boxed", "tag" (`<answer>`), "marker" ("Ответ:"), "option" ("вариант Б"), "bold", "formula", "last-number" or
    "last-line".
    """

    text: str
    where: str


def extract(text: str, language: str) -> Answer | None:
    """The final answer that a response (without its reasoning) states; None if it states none.

    Of each kind of place the last one counts: a box, an answer tag, a marker such as "Ответ:", an option, a bold phrase
    in the last line that is not empty, any formula that no number follows, any number, the last line if it is short.
    Markers count in every language, whatever the `language` of the text.
    """
    del language  # a model asked in Russian may well answer under "Answer:"; the notation matters to `verify` only
    if box := boxed(text):
        return Answer(box, "boxed")
    tagged, closed, _ = text.rpartition("<answer>")[2].partition("</answer>")
    if closed and "<answer>" in text and tagged.strip():
        return Answer(tagged.strip(), "tag")
    lines = [line for line in text.splitlines() if line.strip()]
    if marked := _marked(lines):
        return Answer(marked, "marker")
    if not lines:
        return None
    last = lines[-1].strip(_EDGES)
    if is_option(last):
        return Answer(last, "option")
    if option := last_option(lines[-1]):
        return Answer(option, "option")
    if bold := _BOLD.findall(lines[-1]):
        return Answer((bold[-1][0] or bold[-1][1]).strip().removesuffix("."), "bold")
    return _unmarked(text, last)


def _marked(lines: list[str]) -> str:
    """What stands behind the last marker that has something behind it, in its line or, if that ends, in the next."""
    for i in range(len(lines) - 1, -1, -1):
        markers = [*_SPACED.finditer(lines[i]), *_UNSPACED.finditer(lines[i])]
        for marker in sorted(markers, key=lambda match: -match.start()):
            if stated := _behind(lines, i, marker):
                return stated
        if gsm := _GSM.findall(lines[i]):
            return gsm[-1].strip()
    return ""


def _behind(lines: list[str], i: int, marker: re.Match[str]) -> str:
    """What the marker in line `i` introduces; "" if it is none after all, as in "let us check the answer: 5 + 7"."""
    line, start, end = lines[i], marker.start(), marker.end()
    before = line[max(0, start - NEAR) : start]
    if _CHECK.search(before):
        return ""
    link = _IS.match(line, end)
    if link and not link[0].strip() and marker[0].lower() == "answer" and before.strip(_EDGES):
        return ""  # "able to answer 20 questions"; in other languages a number may follow without a verb
    if not link and (before.strip(_EDGES) or line[end : end + NEAR].strip(_EDGES)):
        return ""  # else it is a heading
    rest = line[link.end() : link.end() + LONG].strip(" \t*_") if link else ""
    if not rest and i + 1 < len(lines):
        rest = lines[i + 1][:LONG].strip(" \t*_")
    stated = _SENTENCE_END.split(rest, maxsplit=1)[0].strip(" \t*_").removesuffix(".")
    return "" if all(unicodedata.category(c)[0] in "PZ" for c in stated) else stated


def _unmarked(text: str, last: str) -> Answer | None:
    """The last formula or number; where there is neither, the last line."""
    formulas, numbers = list(_FORMULA.finditer(text)), list(_NUMBER.finditer(text))
    if formulas and (not numbers or numbers[-1].start() < formulas[-1].end()):
        return Answer(next(filter(None, formulas[-1].groups())).strip(), "formula")
    if numbers:
        return Answer(numbers[-1][0].strip(), "last-number")
    short = len(last) <= SHORT and any(c.isalnum() for c in last) and last[-1] not in _COLON
    return Answer(last.removesuffix("."), "last-line") if short else None
