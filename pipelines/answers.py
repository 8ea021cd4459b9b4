"""Find the final answer of a response, and check it against the gold answer, in any locale.

A gold answer decides how an answer is read: beside a number, `3,5` in a Russian answer is a decimal; beside a pair it
is a pair. Plain numbers are compared as exact fractions, lists item by item, words by their letters. Whatever is
left is an expression and goes to math-verify, in a process of its own that has `LIMIT_S` seconds and is replaced when
it fails to keep to them.

Gold answers are in machine notation (point for the decimals, commas between thousands) unless only the language's own
notation makes sense of them.
"""

import atexit
import json
import re
import subprocess
import sys
import threading
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, cast

LIMIT_S = 1.0  # wall-clock seconds for one pair of expressions
MEMORY_BYTES = 4 << 30  # address space of the worker process
LONGEST = 2000  # characters of an answer that can still be an answer


def _table(text: str) -> dict[str, list[str]]:
    """`name: word word ...`, in as many lines as it takes."""
    table: dict[str, list[str]] = {}
    for word in text.split():
        if word.endswith(":"):
            table[word[:-1]] = []
        else:
            table[next(reversed(table))].append(word)
    return table


_WORDS = _table(
    """
    decimal-comma-point-groups: az ca da de el es eu gl hr id is it jv mk nl pt ro sl sr tr vi
    decimal-comma: be bg cs et fi fr hu hy ka kk ky lt lv no pl ru sk sv uk uz
    yes: ano evet ja oui si sim sì sí tak true vrai wahr ya yes верно да правда так بله نعم ہاں हाँ हां はい 对 是
    no: falsch false faux hayır ne nee nein nie no non não tidak ложь неверно нет ні خیر لا نہیں नहीं いいえ 不是 否
    1e3: thousand тыс тысяча тысячи тысяч тысячу тис тисяч тисячі хил хиляди tausend mille mila mil tysięcy tys
        tisíc ezer tuhat tusen bin ribu nghìn ngàn elfu libo dubu ming мың ألف آلاف هزار ہزار हज़ार हजार হাজার
        ஆயிரம் వేల พัน 千 천
    1e6: million millions млн миллион миллиона миллионов мільйон мільйона мільйонів милиона милион mio millionen
        million millones millón milhões milhão milioni milione milioane miljoen mln milion miliony milionów
        miljoonaa millió milyon juta triệu milyong مليون ملايين میلیون ملین मिलियन মিলিয়ন ล้าน 백만
    1e9: billion billions млрд миллиард миллиарда миллиардов мільярд мільярдів mrd milliarde milliarden milliard
        milliards miliardi miliardo mld miljard miliard milyar miliar tỷ مليار میلیارد
    1e5: lakh lakhs लाख লাখ লক্ষ لاکھ லட்சம் లక్షల แสน
    1e7: crore crores करोड़ কোটি کروڑ கோடி కోట్ల
    1e4: หมื่น
    answer: final_answer answer ответ відповідь адказ отговор одговор жауап odpověď odpoveď odpowiedź odgovor
        antwort antwoord réponse respuesta resposta risposta răspuns svar vastaus vastus válasz cevap yanıt
        cavab javob jawaban jawapan đáp_án đáp_số trả_lời câu_trả_lời sagot jibu amsa atsakymas atbilde freagra
        tweġiba erantzuna απάντηση պատասխան პასუხი תשובה התשובה الإجابة الجواب پاسخ جواب उत्तर উত্তর பதில் విడై
        సమాధానం జవాబు පිළිතුර คำตอบ ຄຳຕອບ ចម្លើយ အဖြေ መልስ 정답 답 답변 最终答案 答案 解答 答え 答
    """
)
_POINT_GROUPS = frozenset(_WORDS["decimal-comma-point-groups"])  # 1.234,5
_SPACE_GROUPS = frozenset(_WORDS["decimal-comma"])  # 1 234,5
_YES, _NO = frozenset(_WORDS["yes"]), frozenset(_WORDS["no"])
_MARKERS = "|".join(_WORDS["answer"]).replace("_", " ")
_POWERS = {word: int(float(name)) for name, words in _WORDS.items() if name.startswith("1e") for word in words}
_HAN = {**{c: i for i, c in enumerate("〇一二三四五六七八九")}, "零": 0, "两": 2, "兩": 2}
_SMALL = {"十": 10, "百": 100, "千": 1000, "십": 10, "백": 100, "천": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8, "兆": 10**12, "조": 10**12}
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
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_REWRITES = (  # LaTeX and typography to plain characters, in this order
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad|limits)(?![A-Za-z])|\\[,;:!\s]|~"), " "),
    (re.compile(r"\{\s*([.,])\s*\}"), r"\1"),
    (re.compile(r"\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree"), "°"),
    (re.compile(r"\\([%$&#])"), r"\1"),
    (re.compile(r"[−–—](?=\s*[\d\\.])"), "-"),
    (re.compile(r"\*\*|__|^\$+|(?<=\S)\$+$(?<=\$\$)|(?<=[^\d\s])\$$|\\[()\[\]]"), ""),
    (re.compile(r"(?:R|US|A|C|NT|HK)(?=\$)"), ""),
    (re.compile(r"\s+"), " "),
    (re.compile(r"(?<![\w.])\.(?=\d)"), "0."),
)
_CODEPOINTS = {
    **{ord(a): b for a, b in zip("²³٫٬٪؛،⁄", ("^2", "^3", ".", " ", "%", ";", ",", "/"), strict=True)},
    **{ord(c): " " + unicodedata.normalize("NFKC", c).replace("⁄", "/") for c in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"},
}
_VALUE = re.compile(
    r"(?P<sign>[-+] ?)?(?:(?:(?P<whole>\d+)(?: (?=\d+ ?/)| ?(?=\\frac)))?"
    r"(?:\\frac ?\{ ?(?P<top>\d+) ?\} ?\{ ?(?P<bottom>\d+) ?\}|(?P<up>\d+) ?/ ?(?P<down>\d+))"
    r"|(?P<number>\d+(?:[.,' ’]\d+)*))"
)
_GROUPED = {mark: re.compile(rf"\d{{1,3}}(?:([ '’{mark}])\d{{3}})(?:\1\d{{3}})*") for mark in (".", ",", "")}
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")
_HAN_RUN = re.compile(rf"(?:\d[\d.,]*|[{''.join((*_HAN, *_SMALL, *_LARGE))}])+")
_HAN_PART = re.compile(r"\d[\d.,]*|\D")
_UNIT_POWER = re.compile(r"(?<=[^\W\d_])(?:\^ ?\{?[23]\}?|[23](?!\d))")
_BESIDE = frozenset(" .:'’\"«»“”()%°€£¥₽₹₴₩฿₫₸₺₪$/-¿?!")
_NO_UNIT = re.compile(r"(?<![^\W\d_])(?:[abefijknopqrtu-zBD-EGHIM-UXYZ]|pi|sqrt|sin|cos|tan|log|ln)(?![^\W\d_])")
_ASSIGNED = re.compile(r"^.*=(?=[^=]*\d)", re.DOTALL)
_PERCENT = re.compile(r"%|процент|відсот|percent|prozent|por ciento|por cento|pour cent|per cento|procent")
_PLAIN_WORDS = re.compile(r"[^\W\d_][^\d\\^_=+*<>{}]*")
_WORDY = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|cot|log|exp|max|min|mod)[^\W\d_]{3,}")
_AND = re.compile(r"\s(?:and|or|и|или|та|або|i|und|oder|et|ou|y|o|e|và|ve|veya|dan|atau|و|أو)\s|和|或|または|と")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
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

    kind: Literal["right", "wrong", "undecidable"]
    reason: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: what it is in the language's notation, and in another that the writer may have used."""

    value: Fraction
    other: Fraction | None
    percent: bool


def extract(text: str, language: str) -> Answer | None:
    """The final answer that a response (without its reasoning) states; None if it states none.

    Of each kind of place the last one counts: a box, a marker such as "Ответ:", a bold phrase in the last line that
    is not empty, any number. Markers count in every language, whatever the `language` of the text.
    """
    del language  # a model asked in Russian may well answer under "Answer:"; the notation matters to `verify` only
    if boxed := _boxed(text):
        return Answer(boxed, "boxed")
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
    """Whether `answer`, written in `language` (ISO 639-1), equals `gold`; it never raises and keeps to `LIMIT_S`.

    "undecidable" means that the text does not say: an ambiguous notation, several numbers in a sentence, words in
    another language, an expression that could not be read in time.
    """
    wanted, given = _plain(gold), _plain(answer[: LONGEST + 1])
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


def value(text: str, language: str) -> Number | None:
    """Read a text that holds one plain number beside units, nouns and signs; None for anything else.

    Knows the language's groups and decimals, all decimal digits, Chinese numerals, fractions and words of scale.
    """
    text = _plain(text)
    brackets, inside = _unwrap(text)
    if brackets and ("," in inside or ";" in inside):
        return None  # a pair
    text = _UNIT_POWER.sub("", _ASSIGNED.sub("", text))
    if language in ("zh", "ja", "ko"):
        text = _arabic_digits(text)
    found = list(_VALUE.finditer(text))
    if len(found) != 1:
        return None
    match = found[0]
    before, after = text[: match.start()], text[match.end() :]
    beside = before + " " + after
    if not all(c in _BESIDE or unicodedata.category(c)[0] in "LM" for c in beside) or _NO_UNIT.search(beside):
        return None
    readings = _readings(match, language)
    scale = 1
    if word := re.match(r"[ -]?([^\W\d_][^\s\d.,;:!?()]*)", after):
        scale = _POWERS.get(word[1].lower(), 1)
    sign = -1 if match["sign"] and match["sign"][0] == "-" else 1
    values = [reading * scale * sign for reading in readings]
    if not values:
        return None
    return Number(values[0], values[1] if len(values) > 1 else None, bool(_PERCENT.search(beside.lower())))


def _readings(match: re.Match[str], language: str) -> list[Fraction]:
    """What the matched digits can mean, the language's own notation first; empty if they are no number."""
    number = match["number"]
    if number is None:
        top, bottom = int(match["top"] or match["up"]), int(match["bottom"] or match["down"])
        if not bottom or (match["whole"] and top >= bottom):
            return []
        return [int(match["whole"] or 0) + Fraction(top, bottom)]
    point, comma = _decimal(number, ".", ","), _decimal(number, ",", ".")
    if language in _POINT_GROUPS:
        order = [comma, point]
    elif language in _SPACE_GROUPS:
        order = [point, comma] if "," not in number else [comma, point]
    else:
        order = [point]
    return list(dict.fromkeys(reading for reading in order if reading is not None))


def _decimal(number: str, mark: str, group: str) -> Fraction | None:
    """`number` with `mark` before the decimals and `group` or a blank between thousands; None if it is ill-formed."""
    whole, found, decimals = number.partition(mark)
    if found and not decimals.isdecimal():
        return None
    if not (whole.isdecimal() or _GROUPED[group].fullmatch(whole) or (group == "," and _INDIAN.fullmatch(whole))):
        return None
    digits = re.sub(r"\D", "", whole)
    return Fraction(int(digits + decimals), 10 ** len(decimals))


def _verify_number(gold: Number, wanted: str, given: str, language: str) -> Verdict:
    number = value(given, language)
    if number is None:
        if len(_items(given, language)[1]) > 1:
            return Verdict("undecidable" if _WORDY.search(given) else "wrong", "several numbers instead of one")
        if _WORDY.search(_WRAPPED.sub("", given)):
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


def _plain(text: str) -> str:
    """The text without its typography: no wrappers of LaTeX or Markdown, plain blanks, ASCII digits."""
    text = text.strip()
    if boxed := _boxed(text):
        text = boxed
    text = unicodedata.normalize("NFKC", text.translate(_CODEPOINTS))
    text = "".join(str(unicodedata.decimal(c)) if c > "\x7f" and c.isdecimal() else c for c in text)
    text = _WRAPPED.sub(r" \1 ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().removesuffix(".").removesuffix("。").strip()


def _boxed(text: str) -> str:
    """What stands in the last `\boxed{}` whose braces balance; "" without one."""
    end = len(text)
    while (begin := text.rfind("\\boxed{", 0, end)) >= 0:
        depth = 0
        for i in range(begin + 6, end):
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            if not depth:
                if inside := text[begin + 7 : i].strip():
                    return inside
                break
        end = begin
    return ""


def _arabic_digits(text: str) -> str:
    """`3万5千` and `三百二十` in digits. A numeral without digits counts only if it is the only one: 一 is a word."""
    runs = [run for run in _HAN_RUN.findall(text) if not run.isdecimal()]
    if len(runs) > 1 and not all(run[0].isdecimal() for run in runs):
        return text

    def digits(match: re.Match[str]) -> str:
        total = section = Fraction(0)
        pending: Fraction | None = None
        for part in _HAN_PART.findall(match[0]):
            if part[0].isdecimal():
                pending = _decimal(part.rstrip(".,"), ".", ",")
                if pending is None:
                    return match[0]
            elif part in _HAN:
                pending = (pending or 0) * 10 + Fraction(_HAN[part])
            elif part in _SMALL:
                section += (1 if pending is None else pending) * _SMALL[part]
                pending = None
            else:
                section += pending or 0
                total += (section or 1) * _LARGE[part]
                section, pending = Fraction(0), None
        total += section + (pending or 0)
        return str(total.numerator) if total.denominator == 1 else match[0]

    return _HAN_RUN.sub(lambda match: match[0] if match[0].isdecimal() else digits(match), text)


def _unwrap(text: str) -> tuple[str, str]:
    """The pair of brackets around the whole text ("" if none) and what is inside."""
    for opening in ("\\{", "(", "[", "{"):
        closings = (_BRACKETS[opening],) if opening.endswith("{") else (")", "]")
        for closing in closings:
            if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening):
                inside = text[len(opening) : -len(closing)]
                if _depths_stay(inside):
                    return (opening + closing).replace("\\", ""), inside.strip()
    return "", text


def _depths_stay(text: str) -> bool:
    """Whether no bracket in the text closes one from before it."""
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _items(text: str, language: str, split: bool = False) -> tuple[str, list[str]]:
    """The brackets around a list and its items. A comma parts items unless the text is a number (`split`: always)."""
    brackets, inside = _unwrap(text)
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
    if language in _POINT_GROUPS | _SPACE_GROUPS:
        given = re.sub(r"(?<=\d),(?=\d)", ".", given)
    given = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "", given)
    return _worker().compare(*(_NAME.sub(lambda m: _RENAMED[m[0]], text).replace(";", ",") for text in (wanted, given)))


class _Worker:
    """math-verify in a process of its own: one pair at a time, each within `LIMIT_S` seconds, whatever it does.

    The worker keeps the time itself, in a thread of C that needs no interpreter lock, and exits when it is over; here
    that shows as an answer that does not come, and the next worker is started at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()
        atexit.register(self.close)

    def compare(self, gold: str, answer: str) -> Verdict:
        with self._lock:
            try:
                self._questions.write(json.dumps([gold, answer]) + "\n")
                self._questions.flush()
                reply = self._answers.readline()
            except OSError:
                reply = ""
            if reply:
                return Verdict(*json.loads(reply))
            self.close()
            self._start()
            return Verdict("undecidable", f"not compared within {LIMIT_S:g} s")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-P", __file__],  # -P: the modules of this folder are not to shadow others
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._questions, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)


@cache
def _worker() -> _Worker:
    return _Worker()


def _serve() -> None:
    """The worker: pairs of expressions in, verdicts out, one JSON value per line."""
    import faulthandler
    import logging
    import os
    import resource

    import math_verify  # pyright: ignore[reportMissingTypeStubs]

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the process
    library: Any = math_verify
    config = [library.LatexExtractionConfig()]

    def read(text: str) -> object:
        return library.parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None)

    library.verify(read(r"\frac{1}{2}"), read("x+1"), timeout_seconds=None)  # builds the grammar's tables
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=nowhere)
        gold, answer = map(read, json.loads(line))
        if not gold or not answer:
            verdict = ("undecidable", f"math-verify cannot read the {'answer' if gold else 'gold answer'}")
        else:
            right = library.verify(gold, answer, timeout_seconds=None)
            verdict = ("right", "equal by math-verify") if right else ("wrong", "not equal by math-verify")
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    _serve()
