"""Find the final answer of a response, and check it against the gold answer, in any locale.

A gold answer decides how an answer is read: beside a number, `3,5` in a Russian answer is a decimal; beside a pair it
is a pair. Plain numbers are compared as exact fractions, lists item by item, words by their letters. Whatever is
left is an expression and goes to math-verify, which has a second for it.

Gold answers are in machine notation (point for the decimals, commas between thousands) unless only the language's own
notation makes sense of them.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from pipelines import lexicon
from pipelines.answers import expressions
from pipelines.answers.expressions import Kind
from pipelines.answers.numbers import POINT_GROUPS, SPACE_GROUPS, Number, value
from pipelines.answers.typography import WRAPPED, boxed, plain, unwrap

LONGEST = 2000  # characters of an answer that can still be an answer


_WORDS = lexicon.read("answers")
_YES, _NO = frozenset(_WORDS["yes"]), frozenset(_WORDS["no"])
_MARKERS = "|".join(_WORDS["answer"]).replace("_", " ")
_OPTIONS = {c: i for row in ("ABCDEFGH", "АБВГДЕЖЗ", "ΑΒΓΔΕΖΗΘ") for i, c in enumerate(row)} | {
    c: i for row in ("أبجد", "ابجد") for i, c in enumerate(row)
}
_HOMOGLYPHS = {"В": {1, 2}, "С": {2}, "Е": {4, 5}, "Β": {1}, "Ε": {4}, "Η": {6, 7}, "Ζ": {5}}  # look like Latin letters

_MARKER = re.compile(
    rf"(?:(?<![^\W\d_])(?:{_MARKERS})[*_]*[ \t]*(?:is:?|ist|est|es|é|è|är|er|:|：|=|—|–|-|は、?|是|为|為|은|는)|####)"
    r"[ \t:：*_]*(?P<rest>[^\n]*(?:\n\s*[^\n]+)?)",
    re.IGNORECASE,
)
_LAST_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:[\u00a0\u202f\u2009 ',.٬]\d{3})+(?!\d)|\d+)(?:[.,٫]\d+)?(?:\s?[%٪])?")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？।]")
_PLAIN_WORDS = re.compile(r"[^\W\d_][^\d\\^_=+*<>{}]*")
_WORDY = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|cot|log|exp|max|min|mod)[^\W\d_]{3,}")
_AND = re.compile(r"\s(?:and|or|и|или|та|або|i|und|oder|et|ou|y|o|e|và|ve|veya|dan|atau|و|أو)\s|和|或|または|と")
_RENAMED = {
    r"\tg": r"\tan ", r"\ctg": r"\cot ", r"\arctg": r"\arctan ", r"\arcctg": r"\operatorname{arccot} ",
    r"\cosec": r"\csc ", r"\lg": r"\log_{10} ", r"\sen": r"\sin ",
}  # fmt: skip
_NAME = re.compile(r"\\(?:arcctg|arctg|cosec|ctg|tg|lg|sen)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer and where it stood: "boxed", "marker", "bold" or "last-number"."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer equals the gold answer, and why, in a few English words."""

    kind: Kind
    reason: str


def extract(text: str, language: str) -> Answer | None:
    """The final answer that a response (without its reasoning) states; None if it states none.

    Of each kind of place the last one counts: a box, a marker such as "Ответ:", a bold phrase in the last line that
    is not empty, any number. Markers count in every language, whatever the `language` of the text.
    """
    del language  # a model asked in Russian may well answer under "Answer:"; the notation matters to `verify` only
    if box := boxed(text):
        return Answer(box, "boxed")
    for match in reversed(list(_MARKER.finditer(text))):
        line = next((line for line in match["rest"].split("\n") if line.strip(" *_\t")), "")
        if line := _SENTENCE_END.split(line.strip(" *_\t"), maxsplit=1)[0].strip(" *_\t").removesuffix("."):
            return Answer(line, "marker")
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and (bold := list(_BOLD.finditer(lines[-1]))):
        return Answer((bold[-1][1] or bold[-1][2]).strip().removesuffix("."), "bold")
    numbers = _LAST_NUMBER.findall(text)
    return Answer(numbers[-1].strip(), "last-number") if numbers else None


def verify(gold: str, answer: str, language: str) -> Verdict:
    """Whether `answer`, written in `language` (ISO 639-1), equals `gold`; it never raises, and ends in time.

    "undecidable" means that the text does not say: an ambiguous notation, several numbers in a sentence, words in
    another language, an expression that could not be read in time.
    """
    wanted, given = plain(gold), plain(answer[: LONGEST + 1])
    if not wanted:
        return Verdict("undecidable", "no gold answer")
    if not given or len(answer) > LONGEST:
        return Verdict("wrong", "no answer" if not given else f"longer than {LONGEST} characters")
    if wanted.casefold() == given.casefold():
        return Verdict("right", "same text")
    if option := _verify_option(wanted, given):
        return option
    if number := value(wanted, "en") or value(wanted, language):
        return _verify_number(number, wanted, given, language)
    items = _items(wanted, "en")[1]
    if len(items) > 1:
        return _verify_items(wanted, given, language)
    if len(wanted) > 1 and _PLAIN_WORDS.fullmatch(wanted):
        return _verify_words(wanted, given)
    if (count := len(_items(given, language)[1])) > 1:
        return Verdict("wrong", f"{count} answers instead of one")
    return _compare(wanted, given, language)


def _verify_number(gold: Number, wanted: str, given: str, language: str) -> Verdict:
    number = value(given, language)
    if number is None:
        if len(_items(given, language)[1]) > 1:
            return Verdict("undecidable" if _WORDY.search(given) else "wrong", "several numbers instead of one")
        if _WORDY.search(WRAPPED.sub("", given)):
            return Verdict("undecidable", "no single number in the answer")
        return _compare(wanted, given, language)
    scales = (1,) if gold.percent == number.percent else (1, Fraction(1, 100) if number.percent else 100)
    if any(number.value * scale == gold.value for scale in scales):
        return Verdict("right", "same number")
    if number.other is not None and any(number.other * scale == gold.value for scale in scales):
        if gold.value.denominator == 1 and re.search(r"0(?!\d)", given):
            return Verdict("right", "same number")  # no decimal ends in a zero, so the mark parts thousands
        return Verdict("undecidable", "the decimal mark could part thousands")
    places = len(str(number.value.denominator)) - 1
    if 10**30 % gold.value.denominator and places > 1 and round(gold.value, places) == number.value:
        return Verdict("undecidable", "a rounding of the gold answer")  # which has no end as a decimal
    return Verdict("wrong", "different number")


def _verify_items(wanted: str, given: str, language: str) -> Verdict:
    """Lists: item by item; in any order unless the gold answer stands in round or square brackets."""
    brackets, items = _items(wanted, "en")
    other_brackets, answers = _items(given, language, split=True)
    if len(items) != len(answers):
        return Verdict("wrong", f"{len(answers)} items instead of {len(items)}")
    if brackets and other_brackets and brackets != other_brackets:
        return Verdict("wrong", "different brackets")
    ordered = brackets[:1] in ("(", "[")
    unsure = False
    for item in items:
        verdicts = ((i, verify(item, other, language)) for i, other in enumerate(answers[:1] if ordered else answers))
        for i, verdict in verdicts:
            unsure |= verdict.kind == "undecidable"
            if verdict.kind == "right":
                answers.pop(i)
                break
        else:
            return Verdict("undecidable" if unsure else "wrong", f"no item for {item}")
    return Verdict("right", "same items")


def _verify_words(wanted: str, given: str) -> Verdict:
    words, others = (re.findall(r"[^\W_]+", text.casefold()) for text in (wanted, given))
    if words == others:
        return Verdict("right", "same words")
    if len(words) == 1 and words[0] in _YES | _NO and others and others[0] in _YES | _NO:
        same = (words[0] in _YES) == (others[0] in _YES)
        return Verdict("right", "same truth") if same else Verdict("wrong", "opposite truth")
    if " ".join(words) in " ".join(others):
        return Verdict("undecidable", "the words, and more")
    if _script(wanted) != _script(given):
        return Verdict("undecidable", "words in another script")
    return Verdict("wrong", "different words")


def _verify_option(wanted: str, given: str) -> Verdict | None:
    """Option letters; a letter of another script counts by its place, and by its looks if it looks Latin."""
    gold, letter = re.fullmatch(r"\(?([^\W\d_])[).]?", wanted), re.match(r"\(?([^\W\d_])(?:[).:]|\s|$)", given)
    if not gold or not letter or not (gold[1].isupper() or gold[1] in _OPTIONS):
        return None
    a, b = gold[1], letter[1].upper()
    if _script(a) == _script(b):
        return Verdict("right", "same option") if a == b else Verdict("wrong", "different option")
    places, others = (_HOMOGLYPHS.get(c, {_OPTIONS[c]} if c in _OPTIONS else set[int]()) for c in (a, b))
    if not places & others:
        return Verdict("wrong", "different option")
    unique = len(places) == len(others) == 1
    return Verdict("right", "same option") if unique else Verdict("undecidable", "a letter of two alphabets")


def _items(text: str, language: str, split: bool = False) -> tuple[str, list[str]]:
    """The brackets around a list and its items. A comma parts items unless the text is a number (`split`: always)."""
    brackets, inside = unwrap(text)
    for marks in (";；", ",，、"):
        parts: list[str] = [""]
        depth = 0
        for c in inside:
            depth += (c in "([{") - (c in ")]}")
            if depth == 0 and c in marks:
                parts.append("")
            else:
                parts[-1] += c
        if len(parts) > 1 and (brackets or split or ";" in marks or value(inside, language) is None):
            break
    else:
        parts = [inside]
    parts = [piece for part in parts for piece in _AND.split(part)]
    if len(parts) == 1:
        return "", [text]
    return brackets, [re.sub(r"^\s*[^\W\d_]\w{0,2}\s*=", "", part).strip() for part in parts if part.strip()]


def _script(text: str) -> str:
    """The script of the first letter, by its Unicode name."""
    return next((unicodedata.name(c, "").split(" ")[0] for c in text if c.isalpha()), "")


def _compare(wanted: str, given: str, language: str) -> Verdict:
    """Two expressions, by math-verify."""
    if language in POINT_GROUPS | SPACE_GROUPS:
        given = re.sub(r"(?<=\d),(?=\d)", ".", given)
    given = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "", given)
    wanted, given = (_NAME.sub(lambda m: _RENAMED[m[0]], text).replace(";", ",") for text in (wanted, given))
    return Verdict(*expressions.compare(wanted, given))
