"""An expression in the LaTeX that math-verify reads, from the ways in which people write it."""

import re

from pipelines.answers.numbers import COMMA
from pipelines.answers.typography import WRAPPED

_NAMES = {
    "tg": r"\tan ", "ctg": r"\cot ", "cotg": r"\cot ", "arctg": r"\arctan ", "arcctg": r"\arccot ",
    "cosec": r"\csc ", "lg": r"\log_{10} ", "sen": r"\sin ", "pi": r"\pi ", "ln": r"\ln ", "sin": r"\sin ",
    "cos": r"\cos ", "tan": r"\tan ", "cot": r"\cot ", "log": r"\log ", "exp": r"\exp ",
}  # fmt: skip
_NAME = re.compile(rf"\\?(?<![A-Za-z])({'|'.join(sorted(_NAMES, key=len, reverse=True))})(?![A-Za-z])")
_ROOT = re.compile(r"(?:√|(?<![\\A-Za-z])sqrt)\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+|[A-Za-z]))")
_SIGNS = str.maketrans({
    "·": r"\cdot ", "⋅": r"\cdot ", "×": r"\times ", "÷": "/", "∪": r"\cup ", "∩": r"\cap ", "≤": r"\le ", "⩽": r"\le ",
    "≥": r"\ge ", "⩾": r"\ge ", "±": r"\pm ", "∅": r"\emptyset ", "$": " ", "≠": r"\ne ",
})  # fmt: skip


def latex(text: str, language: str) -> str:
    """Decimal commas become points where the language has them; semicolons become commas; names get their backslash."""
    text = WRAPPED.sub(r" \1 ", text)
    if language in COMMA and (";" in text or not text.startswith(("(", "[", "{", "\\{"))):
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    text = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "", text).replace(";", ",")
    text = re.sub(r"(?<=\d)[eE]([-+]?\d{1,3})(?![\w.])", r"\\cdot 10^{\1}", text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2] or match[3]}}}", text)
    return _NAME.sub(lambda match: _NAMES[match[1]], text.translate(_SIGNS)).strip()
