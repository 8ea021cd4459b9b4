"""Find the final answer of a response, and check it against the gold answer, in any locale.

A gold answer decides how an answer is read: beside a number, `3,5` in a Russian answer is a decimal; beside a pair it
is a pair. Plain numbers are compared as exact fractions, quantities in their smallest unit, lists item by item, words
by their letters. Whatever is left is an expression and goes to math-verify, which has a second for it.

Gold answers are in machine notation (point for the decimals, commas between thousands) unless only the language's own
notation makes sense of them.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from pipelines import lexicon
from pipelines.answers import expressions, options
from pipelines.answers.expressions import Kind
from pipelines.answers.extraction import Answer, extract
from pipelines.answers.latex import latex
from pipelines.answers.lists import Items, element, items
from pipelines.answers.numbers import COMMA, Number, said, value, values
from pipelines.answers.quantities import Quantity, quantity
from pipelines.answers.typography import WRAPPED, plain

__all__ = ["LONGEST", "Answer", "Verdict", "extract", "said", "value", "values", "verify"]

LONGEST = 2000  # characters of an answer that can still be an answer

_WORDS = lexicon.read("answers")
_YES, _NO = frozenset(_WORDS["yes"]), frozenset(_WORDS["no"])
_NUMERALS = lexicon.read("numerals")
_PLAIN_WORDS = re.compile(r"[^\W\d_][^\d\\^_=+*<>{}]*")
_LETTERS = re.compile(r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e])+")  # with the vowel signs of Asia
_WORDY = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|cot|log|exp|max|min|mod|arc|ctg)[^\W\d_]{3,}")
_RELATION = re.compile(r"[<>≤≥⩽⩾]|\\(?:le|ge|leq|geq|leqslant|geqslant|lt|gt)(?![A-Za-z])")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_DOUBTFUL = re.compile(r"(?<=\d)!$|\s\([^()]*\)")  # an exclamation or a factorial; a remark or a factor
_ENDLESS = re.compile(r"\d{400}")
_BESIDE = re.compile(r"\d\s+\d")
_AFTERTHOUGHT = re.compile(r",\s+(?=[^\W\d_]{2}).*", re.DOTALL)  # 17, because 5 + 12 = 17
_SHORT_SCALE = {"k": " thousand", "K": " thousand", "M": " million"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer equals the gold answer, and why, in a few English words."""

    kind: Kind
    reason: str


def verify(gold: str, answer: str, language: str) -> Verdict:
    """Whether `answer`, written in `language` (ISO 639-1), equals `gold`; it never raises, and ends in time.

    "undecidable" means that the text does not say: an ambiguous notation, several numbers in a sentence, a number in
    words, words in another language, an expression that could not be read in time.
    """
    if len(gold) > LONGEST:
        return Verdict("undecidable", f"the gold answer is longer than {LONGEST} characters")
    wanted, given = element(plain(gold)), element(plain(answer[: LONGEST + 1]))
    if not wanted:
        return Verdict("undecidable", "no gold answer")
    if not given or len(answer) > LONGEST:
        return Verdict("wrong", "no answer" if not given else f"longer than {LONGEST} characters")
    if wanted.casefold() == given.casefold():
        return Verdict("right", "same text")
    if _ENDLESS.search(wanted) or _ENDLESS.search(given):
        return Verdict("undecidable", "more digits than a number has")
    if options.is_option(wanted):
        return _verify_option(wanted, given)
    measure = quantity(wanted, "en") if not wanted.isdecimal() else None
    if measure and (other := quantity(given, language)) and (equal := measure.equals(other)) is not None:
        return Verdict("right", "same quantity") if equal else Verdict("wrong", "different quantity")
    if number := value(wanted, "en") or value(wanted, language):
        return _verify_number(number, wanted, given, language)
    if measure:
        return _verify_measure(measure, given, language)
    if len(listed := items(wanted, "en")) > 1:
        return _verify_items(wanted, listed, given, language)
    if len(wanted) > 1 and _PLAIN_WORDS.fullmatch(wanted):
        return _verify_words(wanted, given)
    return _verify_expression(wanted, given, language)


def _verify_number(gold: Number, wanted: str, given: str, language: str) -> Verdict:
    given = re.sub(r"(?<=\d)\s?([kKM])(?![^\W_])", lambda match: _SHORT_SCALE[match[1]], given)
    number = value(given, language) or value(_AFTERTHOUGHT.sub("", given), language)
    if number and not given.isdecimal() and (measure := quantity(given, language)) and measure.compound:
        if number.value == gold.value:
            return Verdict("undecidable", "a unit without its number")
        return _count(gold.value, measure)
    if number is None:
        return _verify_no_number(gold, wanted, given, language)
    if gold.percent == number.percent:
        scales = [Fraction(1)]
    else:
        scales = [Fraction(1), Fraction(1, 100) if number.percent else Fraction(100)]
    if any(number.value * scale == gold.value for scale in scales):
        if number.percent and not gold.percent and number.value == gold.value and 0 < abs(gold.value) < 1:
            return Verdict("undecidable", "a share or a percentage")
        return Verdict("right", "same number")
    if number.other is not None and any(number.other * scale == gold.value for scale in scales):
        if gold.value.denominator == 1 and re.search(r"0(?!\d)", given):
            return Verdict("right", "same number")  # no decimal ends in a zero, so the mark parts thousands
        return Verdict("undecidable", "the decimal mark could part thousands")
    if _rounded(gold.value, number.value):
        return Verdict("undecidable", "a rounding of the gold answer")
    return Verdict("wrong", "different number")


def _verify_no_number(gold: Number, wanted: str, given: str, language: str) -> Verdict:
    """A gold number against an answer that is not one plain number."""
    if measure := quantity(given, language):
        return _count(gold.value, measure)
    if not any(c.isdecimal() for c in given):
        if _numeral(given, language):
            return Verdict("undecidable", "a number in words")
        if _WORDY.search(WRAPPED.sub("", given)):
            return Verdict("wrong", "no number in the answer")
        return _verify_expression(wanted, given, language)
    several = len(listed := items(given, language)) > 1
    if several and not _WORDY.search(given):
        if items(wanted, language, split=True).parts == listed.parts:
            return Verdict("undecidable", "the gold answer could be a list")
        return _many(listed)
    if several or _WORDY.search(WRAPPED.sub("", given)) or _BESIDE.search(given):
        if any(gold.value in readings for readings in values(given, language)):
            return Verdict("undecidable", "several numbers, the gold answer among them")
        return Verdict("wrong", "several numbers, none of them right")
    verdict = _verify_expression(wanted, given, language)
    rest = value(_DOUBTFUL.sub("", given), language)
    if verdict.kind != "right" and rest and rest.value == gold.value:
        return Verdict("undecidable", "what stands behind the number may be a remark or a part of it")
    return verdict


def _many(listed: Items) -> Verdict:
    return Verdict("wrong", f"{len(listed)} answers instead of one")


def _count(gold: Fraction, measure: Quantity) -> Verdict:
    """A gold number whose unit only the question knows: it may be any that the answer names."""
    return Verdict("right", "same quantity") if gold in measure.counts() else Verdict("wrong", "different quantity")


def _verify_measure(gold: Quantity, given: str, language: str) -> Verdict:
    """A gold answer in several units, against one without units."""
    if number := value(given, language):
        if number.value in gold.counts():
            return Verdict("right", "same quantity")
        return Verdict("wrong", "different quantity")
    return Verdict("undecidable", "no single quantity in the answer")


def _rounded(gold: Fraction, number: Fraction) -> bool:
    """Whether a gold answer whose decimals have no end was rounded to at least two of them."""
    if 10**30 % gold.denominator == 0 or 10**30 % number.denominator != 0:
        return False
    places = next(places for places in range(31) if 10**places % number.denominator == 0)
    return places > 1 and round(gold, places) == number


def _verify_items(wanted: str, gold: Items, given: str, language: str) -> Verdict:
    """Lists: item by item; in any order unless the gold answer stands in round or square brackets."""
    answer = items(given, language, split=True)
    if len(answer) == 1 and _RELATION.search(given):
        return _compare(wanted, given, language)
    if len(gold) != len(answer):
        return Verdict("wrong", f"{len(answer)} items instead of {len(gold)}")
    if gold.brackets and answer.brackets and gold.brackets != answer.brackets:
        return Verdict("wrong", "different brackets")
    named = gold.unlike and answer.unlike
    left, unsure = list(range(len(answer))), False
    for i, item in enumerate(gold.parts):
        unlikely = [j for j in left if named and gold.names[i] != answer.names[j]]
        candidates = left[:1] if gold.ordered else [j for j in left if j not in unlikely]
        for j in candidates:
            verdict = verify(item, answer.parts[j], language)
            unsure |= verdict.kind == "undecidable"
            if verdict.kind == "right":
                left.remove(j)
                break
        else:
            return Verdict("undecidable" if unsure else "wrong", f"no item for {item}")
    return Verdict("right", "same items")


def _verify_words(wanted: str, given: str) -> Verdict:
    words, others = (_LETTERS.findall(text.casefold()) for text in (wanted, given))
    if words == others:
        return Verdict("right", "same words")
    if len(words) == 1 and words[0] in _YES | _NO and others and others[0] in _YES | _NO:
        same = (words[0] in _YES) == (others[0] in _YES)
        return Verdict("right", "same truth") if same else Verdict("wrong", "opposite truth")
    if f" {' '.join(words)} " in f" {' '.join(others)} ":
        return Verdict("undecidable", "the words, and more")
    if options.script(wanted) != options.script(given):
        return Verdict("undecidable", "words in another script")
    return Verdict("wrong", "different words")


def _verify_option(wanted: str, given: str) -> Verdict:
    try:
        same = options.same(wanted, given)
    except ValueError:
        return Verdict("undecidable", "no option letter in the answer")
    if same is None:
        return Verdict("undecidable", "a letter of two alphabets")
    return Verdict("right", "same option") if same else Verdict("wrong", "different option")


def _verify_expression(wanted: str, given: str, language: str) -> Verdict:
    listed = items(_DECIMAL_COMMA.sub(".", given) if language in COMMA else given, language)
    if len(listed) > 1 and all(map(_RELATION.search, listed.parts)):
        return Verdict("undecidable", "several inequalities")
    if len(listed) > 1 and not (listed.brackets and _RELATION.search(wanted)):
        return _many(listed)
    return _compare(wanted, given, language)


def _compare(wanted: str, given: str, language: str) -> Verdict:
    """Two expressions, by math-verify."""
    return Verdict(*expressions.compare(latex(wanted, language if ";" in wanted else "en"), latex(given, language)))


def _numeral(text: str, language: str) -> bool:
    """Whether the text may hold a number in words; always true for a language whose numerals are not known."""
    if language not in _NUMERALS:
        return True
    known = _NUMERALS[language]
    if any(word in text for word in known if word > "\u0e00"):
        return True  # in a script without blanks between words
    parts = tuple(word for word in known if len(word) > 3)  # of fünfundzwanzig
    words = re.findall(r"[^\s\d.,;:!?()«»\"-]+", text.casefold().replace("'", "’"))
    return any(word in known or word.startswith(parts) or word.endswith(parts) for word in words)
