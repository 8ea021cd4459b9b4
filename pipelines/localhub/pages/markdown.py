"""A card's text as HTML: raw HTML stays text, comments are left out, and relative links lead into the repo."""

from collections.abc import Sequence
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from markupsafe import Markup

# Some texts take seconds per 100,000 characters to parse, and whoever opens the page waits for them.
MAX_CHARACTERS = 100_000


@lru_cache(maxsize=32)
def render(text: str, base: str) -> Markup:
    """`base` is where the repo's files are. Safe to insert: markdown-it escapes, and refuses `javascript:`."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}\n\n*The rest of this card is too long to be shown here: see README.md.*"
    parser = _parser()
    tokens = parser.parse(text)
    _adapt(tokens, base)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - the parser escapes


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.block.ruler.before("paragraph", "comment", _comment, {"alt": ["paragraph"]})
    return parser


def _comment(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """A line that is a comment and nothing else is not shown, as on any page; a code block is another rule's."""
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
    if not (text.startswith("<!--") and text.find("-->", 4) == len(text) - 3):
        return False
    if not silent:
        state.line = line + 1
    return True


def _adapt(tokens: Sequence[Token], base: str) -> None:
    for token in tokens:
        for name in ("src", "href"):
            target = token.attrs.get(name)
            if isinstance(target, str) and _is_relative(target):
                token.attrs[name] = base + target.removeprefix("./")
        if alignment := token.attrs.pop("style", None):
            # The page's policy refuses styles in the text; tables align their columns by one.
            token.attrs["class"] = str(alignment).rpartition(":")[2]
        if token.type == "link_open":
            token.attrs["rel"] = "noopener noreferrer nofollow"
        _adapt(token.children or (), base)


def _is_relative(target: str) -> bool:
    return not target.startswith(("/", "#")) and ":" not in target.split("/", 1)[0]
