"""An answer as plain text: no typography, no wrappers of LaTeX and Markdown, no brackets around the whole."""

import re
import unicodedata

WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathit|mathsf|bm|mbox|operatorname|underline|fbox)\s*\{([^{}]*)\}"
)
_REWRITES = (  # LaTeX and typography to plain characters, in this order
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad|limits|bf|rm)(?![A-Za-z])|\\[,;:!\s]|~"), " "),
    (re.compile(r"\\(?:text)?color\s*\{[a-z]+\}"), ""),
    (re.compile(r"\{\s*([.,])\s*\}"), r"\1"),
    (re.compile(r"(?<=[.,\d])\\(?:overline|dot)\s*\{(\d+)\}"), r"(\1)"),
    (re.compile(r"\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree"), "°"),
    (re.compile(r"\\approx(?![A-Za-z])"), "≈"),
    (re.compile(r"\\([%$&#])"), r"\1"),
    (re.compile(r"−|[–—](?=[\d\\.])"), "-"),
    (re.compile(r"\+\s*(?=\\infty)"), ""),
    (re.compile(r"\*\*|__|^\$+|(?<=\S)\$+$(?<=\$\$)|(?<=[^\d\s])\$$|\\[()\[\]]"), ""),
    (re.compile(r"(?:R|US|A|C|NT|HK)(?=\$)"), ""),
    (re.compile(r"\s+"), " "),
    (re.compile(r"(?<![\w.])\.(?=\d)"), "0."),
)
_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUBSCRIPT = re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+")
_MARKS = str.maketrans("٫٬\u00a0\u202f\u2009\u2007", ".     ")
_CODEPOINTS = {
    **{ord(a): b for a, b in zip("٫٬٪؛،⁄∞π", (".", " ", "%", ";", ",", "/", r"\infty ", r"\pi "), strict=True)},
    **{ord(c): " " + unicodedata.normalize("NFKC", c).replace("⁄", "/") for c in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"},
}
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


def plain(text: str) -> str:
    """The text without its typography: no wrappers of LaTeX or Markdown, plain blanks, ASCII digits."""
    text = text.strip()
    if box := boxed(text):
        text = box
    if not text.isascii():
        text = _SUPERSCRIPT.sub(_exponent, text.translate(_CODEPOINTS))
        text = _SUBSCRIPT.sub(lambda match: f"_{{{match[0]}}}", text)
        text = ascii_digits(unicodedata.normalize("NFKC", text))
    if text.isalnum() and text.isascii():
        return text
    text = WRAPPED.sub(r" \1 ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().removesuffix(".").removesuffix("。").strip()


def ascii_digits(text: str) -> str:
    """The text with the decimal digits of all scripts turned into 0 to 9, and the marks and blanks inside numbers."""
    if text.isascii():
        return text
    text = text.translate(_MARKS)
    return "".join(str(unicodedata.decimal(c)) if c > "\x7f" and c.isdecimal() else c for c in text)


def _exponent(match: re.Match[str]) -> str:
    return f"^{{{unicodedata.normalize('NFKC', match[0]).replace('−', '-')}}}" if len(match[0]) > 1 else f"^{match[0]}"


def boxed(text: str) -> str:
    """What stands in the last `\boxed{}` whose braces balance; "" without one."""
    end = len(text)
    while (begin := text.rfind("\\boxed", 0, end)) >= 0:
        depth = 0
        for i in range(begin + 6, end):
            if not depth and text[i] != "{" and not text[i].isspace():
                break
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            if not depth and text[i] == "}":
                if inside := text[text.index("{", begin) + 1 : i].strip():
                    return inside
                break
        end = begin
    return ""


def unwrap(text: str) -> tuple[str, str]:
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
