"""The texts of a report: what was made of one prompt, or answered to one benchmark item, to be seen side by side."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipelines import chains
from pipelines.marking import Span, marked, visible
from pipelines.recipe import Way
from pipelines.records import Conversation, Result, digest

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Panel:
    label: str
    """`chosen` and `rejected`, or the name of a way of asking."""
    good: bool
    told: Sequence[str]
    """What was found out about it."""
    think: Sequence[Span] | None
    answer: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Case:
    language: str
    question: str
    told: Sequence[str]
    panels: Sequence[Panel]


def chosen(rows: Iterable[Conversation], per_language: int) -> list[Case]:
    """Prompts with their candidates: those that were chosen, then the others, each with the reason."""
    groups = sample(rows, lambda row: row.language, lambda row: row.prompt.id, per_language)
    return [_prompt(sorted(group, key=lambda row: (row.reason is not None, row.id))) for group in groups]


def asked(rows: Iterable[Result], ways: Sequence[Way], per_language: int) -> list[Case]:
    """Benchmark items with the first answer of each way of asking: the base model's, then the others'."""
    order = {way.name: (way.model != "base", place) for place, way in enumerate(ways)}
    first = (row for row in rows if row.sample == 0 and row.way in order)
    groups = sample(first, lambda row: row.language, lambda row: (row.benchmark, row.item), per_language)
    return [_item(sorted(group, key=lambda row: order[row.way])) for group in groups]


def sample(
    rows: Iterable[R], language: Callable[[R], str], name: Callable[[R], Hashable], per_language: int
) -> list[list[R]]:
    """The rows of some names of each language: always the same ones, whatever the order, and no more in memory."""
    languages: dict[str, dict[str, list[R]]] = {}
    for row in rows:
        groups = languages.setdefault(language(row), {})
        groups.setdefault(digest(name(row)), []).append(row)
        if len(groups) > 2 * per_language:
            languages[language(row)] = _least(groups, per_language)
    return [group for groups in languages.values() for group in _least(groups, per_language).values()]


def _least(groups: dict[str, list[R]], count: int) -> dict[str, list[R]]:
    return {name: groups[name] for name in sorted(groups)[:count]}


def _prompt(rows: Sequence[Conversation]) -> Case:
    prompt = rows[0].prompt
    told = [f"from {prompt.dataset}", f"right answer: {prompt.gold}" if prompt.gold is not None else "no right answer"]
    return Case(rows[0].language, visible(prompt.text), [visible(line) for line in told], [_candidate(r) for r in rows])


def _candidate(row: Conversation) -> Panel:
    response = next((message.content for message in row.messages if message.role == "assistant"), "")
    chain = chains.split(response)
    label = "rejected" if row.reason else "chosen"
    return _panel(label, not row.reason, verdicts(row), chain.reasoning, chain.answer, row)


def _item(rows: Sequence[Result]) -> Case:
    row = rows[0]
    told = [row.benchmark, f"right answer: {row.gold}"]
    panels = [_answer(answer) for answer in rows]
    return Case(row.language, visible(row.question), [visible(line) for line in told], panels)


def _answer(row: Result) -> Panel:
    return _panel(row.way, row.joint, verdicts(row), row.reasoning, row.answer, row)


def verdicts(row: Conversation | Result) -> list[str]:
    """What was found out about a row, each in a few words; some may be empty."""
    if isinstance(row, Conversation):
        scores = [f"{score.judge} {score.value:.4g}" for score in row.scores]
        return [row.reason or "", row.outcome or "not verified", *scores, f"{row.tokens:,} tokens", row.origin]
    return [
        "right" if row.correct else "not right" if row.outcome == "undecidable" else "wrong",
        f"found: {row.extracted}" if row.extracted else "no answer found",
        "thinks in the language" if row.think_strict else f"thinks in {row.think_language}" if row.reasoning else "",
        "answers in the language" if row.answer_in_language else "answers in another language",
        *row.defects,
        f"{row.completion_tokens:,} tokens",
    ]


def _panel(
    label: str, good: bool, told: Iterable[str], reasoning: str | None, answer: str, row: Conversation | Result
) -> Panel:
    think = None if reasoning is None else marked(reasoning, row.language)
    return Panel(label, good, [visible(line) for line in told if line], think, marked(answer, row.language))
