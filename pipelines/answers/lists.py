"""Lists, pairs, sets and intervals taken apart into their items."""

import re
from dataclasses import dataclass

from pipelines.answers.numbers import value
from pipelines.answers.typography import unwrap

_WORD = r"and|or|и|или|та|або|und|oder|et|ou|và|hoặc|ve|veya|dan|atau|και|ή|و|أو|یا|اور|और|या|আর|এবং|మరియు|மற்றும்|และ|หรือ"
_SHORT = r"[ieoyua]|и"  # these are variables as well
_AND = re.compile(
    rf"\s(?:{_WORD})\s|(?<=[\d)\]}}%])\s(?:{_SHORT})\s(?=[-\d(\[{{\\]|\w{{1,3}}\s?=)|(?<=\d)\s?(?:和|或|または|と|및|또는)\s?(?=[-\d])"
)
_ELEMENT = re.compile(r"^[^\W\d_]\w{0,2}\s*(?:∈|\\in(?![A-Za-z]))\s*")
_NAMED = re.compile(r"^\s*([^\W\d_](?:_?\{?\w{1,2}\}?)?)\s*=(?!=)\s*")
_BOTH_SIGNS = re.compile(r"(?:[^\W\d_]\w{0,2}\s*=)?\s*(?:±|\\pm(?![A-Za-z]))\s*([^±\\+-]+)")
_FLIPPED = re.compile(r"^\](?=[^\[\]]*[;,])|(?<=[;,])([^\[\]]*)\[$")


@dataclass(frozen=True, slots=True)
class Items:
    """`brackets` are those around the whole, "" if none; `names` says what an item is assigned to, "" if nothing."""

    brackets: str
    parts: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def ordered(self) -> bool:
        return self.brackets[:1] in ("(", "[")

    @property
    def unlike(self) -> bool:
        """Whether each item belongs to another letter: x = 2, y = 3; but x1 and x2 are two roots of one equation."""
        return all(self.names) and len({name[0] for name in self.names}) == len(self.names)


def element(text: str) -> str:
    """`x ∈ (2; 5)` is `(2; 5)`."""
    return _ELEMENT.sub("", text)


def items(text: str, language: str, split: bool = False) -> Items:
    """A comma parts items unless the text is a number (`split`: always); a semicolon parts them before any comma does.

    `]2;5[` is written as `(2;5)`, and `±3` is 3 and -3.
    """
    text = element(text)
    if text[:1] == "]" or text[-1:] == "[":
        text = _FLIPPED.sub(lambda match: "(" if match[0] == "]" else f"{match[1]})", text)
    brackets, inside = unwrap(text)
    parts = [inside]
    for marks in (";；", ",，、"):
        if not any(mark in inside for mark in marks):
            continue
        parts = _top_level(inside, marks)
        if len(parts) > 1 and (brackets or split or ";" in marks or value(inside, language) is None):
            break
        parts = [inside]
    if both := _BOTH_SIGNS.fullmatch(parts[0]) if len(parts) == 1 else None:
        parts = [both[1], f"-{both[1]}"]
    parts = [piece.strip() for part in parts for piece in _AND.split(part) if piece.strip()]
    if len(parts) <= 1:
        return Items("", (text,), ("",))
    named = [_NAMED.match(part) for part in parts]
    names = tuple(match[1] if match else "" for match in named)
    return Items(brackets, tuple(_NAMED.sub("", part) for part in parts), names)


def _top_level(text: str, marks: str) -> list[str]:
    """The text cut at the marks that stand outside all brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and c in marks:
            parts.append("")
        else:
            parts[-1] += c
    return parts
