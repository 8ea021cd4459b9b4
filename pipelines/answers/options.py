"""Option letters of multiple-choice questions, in any alphabet."""

import re
import unicodedata

from pipelines import lexicon

_WORDS = lexicon.read("answers")
_PLACES = {letter: place for row in _WORDS["options"] for place, letter in enumerate(row)}
_LOOKS = {"В": {1, 2}, "С": {2}, "Е": {4, 5}, "Β": {1}, "Ε": {4}, "Η": {6, 7}, "Ζ": {5}}  # places, with those by looks
_NAMED = "|".join(word.replace("_", " ") for word in _WORDS["option"] if word < "\u0e00")
_NAMED_UNSPACED = "|".join(word for word in _WORDS["option"] if word > "\u0e00")
_GOLD = re.compile(r"\(?([^\W\d_])[).]?")
_GIVEN = re.compile(
    rf"(?:(?:{_NAMED}|{_NAMED_UNSPACED})\s*:?\s*)?[(\[]?([^\W\d_])(?:[).:\]،,]|\s*$|\s(?=[–—]))", re.IGNORECASE
)
_IN_TEXT = re.compile(
    rf"(?:(?<![^\W\d_])(?:{_NAMED})\w{{0,3}}\s*(?:[:：=–—-]|is|это|является)?"
    rf"|(?:{_NAMED_UNSPACED})\s*[:：]?(?:是|为|は|คือ|은|는)?)"
    rf"\s*[\"'«“(（*]*([{''.join(_PLACES)}])(?![\w'’]|\s?[-+*/=^])"
)


def same(gold: str, answer: str) -> bool | None:
    """Whether both name the same option; None where a letter of another alphabet could be either of two.

    A letter of another script counts by its place, and by its looks if it looks Latin. Raises ValueError where the gold
    answer or the answer is no option letter.
    """
    a, b = _letter(_GOLD.fullmatch(gold)), _letter(_GIVEN.match(answer))
    if script(a) == script(b):
        return a == b or (a in _PLACES and _PLACES[a] == _PLACES.get(b))
    places, others = (_LOOKS.get(letter) or {_PLACES[letter]} for letter in (a, b))
    if not places & others:
        return False
    return True if len(places) == len(others) == 1 else None


def is_option(text: str) -> bool:
    """Whether the whole text is an option letter, as in `B`, `(Б)`, `ج)`."""
    match = _GOLD.fullmatch(text)
    return match is not None and match[1] in _PLACES


def last_option(text: str) -> str:
    """The letter of the last option that a text names, as in `option C`, `вариант — Б`; "" without one."""
    found = _IN_TEXT.findall(text)
    return found[-1] if found else ""


def script(text: str) -> str:
    """The script of the first letter, by its Unicode name."""
    return next((unicodedata.name(c, "").split(" ")[0] for c in text if c.isalpha()), "")


def _letter(match: re.Match[str] | None) -> str:
    letter = match[1] if match else ""
    letter = letter if letter in _PLACES else letter.upper()
    if letter not in _PLACES and letter not in _LOOKS:
        raise ValueError("no option letter")
    return letter
