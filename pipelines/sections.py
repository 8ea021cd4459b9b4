"""The parts of a card that belong to a person, and so stand in the next card as they stood in the last.

A section lies between two lines of its own. Nothing else in a card begins a line as they do: `cards` escapes what it is
given, and `harmless` sees to the text of code blocks, which is not escaped.
"""

import re
from typing import Any

import yaml

NAMES = ("introduction", "notes")
"""The sections that every card offers, empty at first. A person may add others: they follow at the card's end."""
OURS = {
    *("language", "license", "task_categories", "pipeline_tag", "library_name", "base_model", "datasets", "tags"),
    *("size_categories", "configs", "model-index"),
}
"""The metadata that a card is written with. Any other stays, too."""

_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_START = re.compile(r"^<!-- yours: ([\w-]+)[^\n]*$\n?", re.MULTILINE)
_NEXT = re.compile(r"^(?:<!-- (?:yours|end of): |## )", re.MULTILINE)
_MARK = re.compile(r"(?:^|(?<=[\n\r]))(?=<!-- (?:yours|end of): )")


def marked(name: str, text: str) -> str:
    """A section for a card."""
    told = f"<!-- yours: {name}; what stands between these two lines stays when the card is written again -->"
    return "\n".join([told, *([text] if text else []), f"<!-- end of: {name} -->"])


def kept(card: str) -> dict[str, str]:
    """The sections of a card that was published, by name. One whose last line is lost ends before the next heading."""
    _, body = _split(card)
    found, place = dict[str, str](), 0
    while start := _START.search(body, place):
        name = start[1]
        last = re.compile(rf"^<!-- end of: {re.escape(name)} -->", re.MULTILINE).search(body, start.end())
        last = last or _NEXT.search(body, start.end())
        place = last.start() if last else len(body)
        text = body[start.end() : place].strip()
        found[name] = "\n\n".join(filter(None, (found.get(name), text)))
    return found


def metadata(card: str) -> dict[str, Any]:
    """What a person added to the front matter of a card that was published."""
    try:
        read = yaml.safe_load(_split(card)[0])
    except (yaml.YAMLError, ValueError):  # ValueError: a date that is none
        return {}
    return {key: value for key, value in read.items() if key not in OURS} if isinstance(read, dict) else {}


def harmless(text: str) -> str:
    """The text of a code block, without a line that would begin or end a section."""
    return _MARK.sub(" ", text)


def _split(card: str) -> tuple[str, str]:
    """The front matter and what follows it."""
    text = card.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    front = _FRONT.match(text)
    return (front[1], text[front.end() :]) if front else ("", text)
