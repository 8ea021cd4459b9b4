"""The anatomy of a response: the think block, the answer after it, and what is wrong with either.

Only text goes in and out; every function takes time linear in it. The defects, by their stable names:

    no-think           no think tag at all, and the template opened none
    unopened           a closing tag that nothing opened (the caller may have meant `opened=True`)
    unclosed           the block never ends; all that follows counts as reasoning
    nested             a block opened inside a block; the inner tags stay in the reasoning as text
    several-blocks     more than one block; `reasoning` holds all of them, `answer` all the text around
    stray-tag          a closing tag too many; it stays in the answer as text
    text-before-think  text in front of the first block; it becomes part of `answer`
    empty-think        a block without one letter or digit
    no-answer          no letter or digit outside the block
    copied-think       the answer repeats the whole reasoning
    loop               the reasoning or the answer goes round in circles (see `repetition`)
    truncated          the server stopped at its token limit (added by `defects`)
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

OPEN, CLOSE = "<think>", "</think>"
WINDOW = 40  # characters: longer than the stock phrases of a solution, shorter than a sentence that comes back
LOOP = 0.5  # share of repeated windows that makes a loop; step-by-step mathematics stays below 0.3
TAIL = 1600  # characters at the end judged once more by themselves: that is where a long chain gets stuck
TAIL_LOOP = 0.7
SHORTEST = 5 * WINDOW  # characters of a text in which repeated lines mean something
COPIED = 80  # a shorter reasoning may well recur inside a longer answer
WORDS = 8  # of a reasoning, which an answer that repeats it has to hold

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_TAG = re.compile(r"</?think>")
_WORD = re.compile(r"[^\W_]")

_Hashes = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class Chain:
    """A response taken apart. `reasoning` is None where there is no block; edge whitespace belongs to neither part."""

    reasoning: str | None
    answer: str
    defects: tuple[str, ...]


def join(reasoning: str, answer: str) -> str:
    """The canonical response. `split` gives both back if they hold no think tag and leave no code fence open."""
    return f"{OPEN}\n{reasoning.strip()}\n{CLOSE}\n\n{answer.strip()}"


def split(response: str, opened: bool = False) -> Chain:
    """Take a response apart; nothing but the tags and edge whitespace is lost, however broken it is.

    `opened` says that the chat template ended in the opening tag, so that the response starts inside the block.
    """
    tags = _tags(response)
    found: list[str] = []
    at = 0  # the first tag not yet dealt with
    begin = 0  # where the reasoning of the current block starts
    if tags and tags[0].group() == OPEN and not (opened and response[: tags[0].start()].strip()):
        at, begin = 1, tags[0].end()
    elif tags and not opened:
        found.append("unopened")
    elif not opened:
        return Chain(None, response.strip(), ("no-think", *_text_defects("", response.strip())))

    before = response[:begin].removesuffix(OPEN).strip()
    thoughts: list[str] = []
    outside: list[str] = [before]
    if before:
        found.append("text-before-think")
    while True:
        end, nested = _close(tags, at)
        if nested:
            found.append("nested")
        if end is None:
            found.append("unclosed")
            thoughts.append(response[begin:].strip())
            break
        thoughts.append(response[begin : tags[end].start()].strip())
        at = next((i for i in range(end + 1, len(tags)) if tags[i].group() == OPEN), len(tags))
        if at > end + 1:
            found.append("stray-tag")
        if at == len(tags):
            outside.append(response[tags[end].end() :].strip())
            break
        outside.append(response[tags[end].end() : tags[at].start()].strip())
        begin, at = tags[at].end(), at + 1
    if len(thoughts) > 1:
        found.append("several-blocks")
    reasoning, answer = ("\n\n".join(filter(None, parts)) for parts in (thoughts, outside))
    if not _WORD.search(reasoning):
        found.append("empty-think")
    return Chain(reasoning, answer, tuple(dict.fromkeys((*found, *_text_defects(reasoning, answer)))))


def defects(chain: Chain, finish_reason: str) -> tuple[str, ...]:
    """All that is wrong with a response: what its text shows and what the server says of its end."""
    return (*chain.defects, "truncated") if finish_reason == "length" else chain.defects


@dataclass(frozen=True, slots=True)
class Repetition:
    """How much of a text was there before, as shares from 0 to 1, and the line that comes back most often.

    `windows` counts runs of `WINDOW` characters, wherever they start; `lines` the characters in whole lines. `line` is
    "" where no line comes back.
    """

    windows: float
    lines: float
    line: str

    @property
    def loop(self) -> bool:
        return self.windows >= LOOP or self.lines >= LOOP


def repetition(text: str) -> Repetition:
    """What of the text repeats. Lines without a letter or digit do not count; a short text has no repeated lines."""
    share, often = 0.0, ""
    if len(text) >= SHORTEST:
        lines = Counter(line for line in map(str.strip, text.splitlines()) if _WORD.search(line))
        repeated = sum(len(line) * (count - 1) for line, count in lines.items())
        if repeated:
            share = repeated / sum(len(line) * count for line, count in lines.items())
            often = max(lines, key=lines.__getitem__)
    return Repetition(repeated_share(text), share, often)


def repeated_share(text: str) -> float:
    """Share (0 to 1) of the text's windows of `WINDOW` characters that occurred earlier in it; 0 for shorter texts.

    One loop of k rounds gives about 1 - 1/k, whatever its period; steps that differ in their numbers give little.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    count = len(points) - WINDOW + 1
    if count < 2:
        return 0.0
    powers, inverses = _powers(1 << (len(points) - 1).bit_length())
    sums = (points * powers[: len(points)]).cumsum()
    windows = sums[WINDOW - 1 :].copy()
    windows[1:] -= sums[: count - 1]
    windows *= inverses[:count]
    hashes = (windows >> np.uint64(32)).astype(np.uint32)  # a chance collision moves the share by 1/count
    hashes.sort()
    return int(np.count_nonzero(hashes[1:] == hashes[:-1])) / count


def _tags(response: str) -> list[re.Match[str]]:
    """The think tags that are not inside code."""
    tags = list(_TAG.finditer(response))
    if not tags or ("`" not in response and "~~~" not in response):
        return tags
    code = _code(response)
    kept: list[re.Match[str]] = []
    i = 0
    for tag in tags:
        while i < len(code) and code[i][1] <= tag.start():
            i += 1
        if i == len(code) or code[i][0] > tag.start():
            kept.append(tag)
    return kept


def _code(text: str) -> list[tuple[int, int]]:
    """Spans of fenced and inline code in order. A fence without an end is no code: it would swallow the answer."""
    spans: list[tuple[int, int]] = []
    opening: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        mark, info = line.group(1), line.group(2).strip()
        if opening and not info and mark.startswith(opening.group(1)):
            spans.append((opening.start(), line.end()))
            opening = None
        elif opening is None or info:  # an opening fence inside an open one: the earlier was never closed
            opening = None if "`" in info else line
    inline: list[tuple[int, int]] = []
    edge = 0
    for start, end in (*spans, (len(text), len(text))):
        inline += (match.span() for match in _INLINE.finditer(text, edge, start))
        edge = end
    return sorted(spans + inline)


def _close(tags: list[re.Match[str]], first: int) -> tuple[int | None, bool]:
    """The index of the tag that closes a block whose inside starts with tag `first`, and whether it holds a block.

    Where the tags do not balance, the last closing tag ends the block: models repeat the opening tag, not the end.
    """
    depth, last = 1, None
    for i in range(first, len(tags)):
        if tags[i].group() == OPEN:
            depth += 1
        else:
            depth, last = depth - 1, i
            if depth == 0:
                return i, i > first
    return last, first < len(tags)


def _text_defects(reasoning: str, answer: str) -> list[str]:
    found: list[str] = []
    if not _WORD.search(answer):
        found.append("no-answer")
    elif reasoning and _copied(reasoning, answer):
        found.append("copied-think")
    if _loops(reasoning) or _loops(answer):
        found.append("loop")
    return found


def _copied(reasoning: str, answer: str) -> bool:
    """Whether the answer repeats the whole reasoning, whatever white space is between the words."""
    said = " ".join(answer.split())
    if " ".join(reasoning.split(maxsplit=WORDS)[:WORDS]) not in said:
        return False  # a long reasoning is not taken apart for that
    thought = " ".join(reasoning.split())
    return thought == said or (len(thought) >= COPIED and thought in said)


def _loops(text: str) -> bool:
    found = repetition(text)
    if found.loop:
        return True
    repeated = found.windows * (len(text) - WINDOW + 1)  # the tail has no more repeated windows than the whole
    return repeated >= TAIL_LOOP * (TAIL - WINDOW + 1) and repeated_share(text[-TAIL:]) >= TAIL_LOOP


@cache
def _powers(count: int) -> tuple[_Hashes, _Hashes]:
    """Powers of an odd base and of its inverse modulo 2**64; `count` comes as powers of two, so few are kept."""
    base = 0x9E3779B97F4A7C15
    return tuple(  # pyright: ignore[reportReturnType]
        np.cumprod(np.array([1] + [factor] * (count - 1), np.uint64)) for factor in (base, pow(base, -1, 2**64))
    )
