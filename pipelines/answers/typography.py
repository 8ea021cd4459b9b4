"""An answer as plain text: no typography, no wrappers of LaTeX and Markdown, no brackets around the whole."""

import re
import unicodedata

WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
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
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


def plain(text: str) -> str:
    """The text without its typography: no wrappers of LaTeX or Markdown, plain blanks, ASCII digits."""
    text = text.strip()
    if box := boxed(text):
        text = box
    text = unicodedata.normalize("NFKC", text.translate(_CODEPOINTS))
    text = "".join(str(unicodedata.decimal(c)) if c > "\x7f" and c.isdecimal() else c for c in text)
    text = WRAPPED.sub(r" \1 ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().removesuffix(".").removesuffix("。").strip()


def boxed(text: str) -> str:
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
