"""Rows of a repo in the terminal, one after the other, marked as in the report.

    python -m pipelines inspect REPO --language ru --rejected --search TEXT

Rows are read as they are asked for: the first of a million is there at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from pipelines import chains
from pipelines.errors import StageError
from pipelines.hub import Hub, Snapshot
from pipelines.marking import marked, visible
from pipelines.records import RECORDS, Candidate, Conversation, Judged, Prompt, Result, Rollout, Row
from pipelines.report.cases import verdicts

FOREIGN, MASKED, LABEL = "black on yellow", "dim", "bold"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row, as it is shown."""

    name: str
    language: str
    told: tuple[str, ...]
    question: str
    reasoning: str | None
    answer: str | None

    def holds(self, text: str) -> bool:
        parts = (*self.told, self.question, self.reasoning or "", self.answer or "")
        return any(text.casefold() in part.casefold() for part in parts)


def inspect(hub: Hub, repo: str, language: str | None, rejected: bool, search: str, console: Console) -> None:
    """StageError where the repo has no rows of ours, or none that were asked for."""
    snapshot, record = _found(hub, hub.repo(repo))
    folder = "rejected" if rejected else "data"
    rows = hub.rows(snapshot, record, folder, [language] if language else None)
    entries = (one for one in map(entry, rows) if one.holds(search))
    if not page(entries, console):
        there = sorted({part.split("/")[1] for part in snapshot.parts(folder)})
        raise StageError(f"{snapshot.repo} has no such row in {folder}; languages there: {', '.join(there) or 'none'}")


def _found(hub: Hub, repo: str) -> tuple[Snapshot, type[Row]]:
    snapshot = hub.snapshot(repo, "dataset")
    if snapshot is None:
        raise StageError(f"{hub.api.endpoint} has no data set {repo} that this token may read: check its name")
    record = next((record for stage, record in RECORDS.items() if f"run/{stage}.json" in snapshot.files), None)
    if record is None:
        raise StageError(f"{repo} holds nothing published by a stage: its rows cannot be shown")
    return snapshot, record


def page(entries: Iterable[Entry], console: Console) -> int:
    """Show them, on a terminal one at a time; returns how many were shown."""
    shown = 0
    for one in entries:
        if shown and console.is_terminal and not _goes_on(console):
            break
        shown += 1
        for part in rendered(one):
            console.print(part)
    return shown


def _goes_on(console: Console) -> bool:
    try:
        return console.input(Text("Enter: the next one; q: end ", "dim")).strip() != "q"
    except EOFError:  # Ctrl-D, or there is nobody to press a key
        return False


def rendered(one: Entry) -> Iterator[Rule | Text]:
    yield Rule(Text(f"{visible(one.language)} {visible(one.name)}", LABEL), align="left")
    if one.told:
        yield Text(" · ".join(visible(line).replace("\n", " ") for line in one.told), "italic")
    parts = (("asked", one.question), ("thinks", one.reasoning), ("answers", one.answer))
    for label, text in parts:
        if text is not None:
            yield Text(f"\n{label}", LABEL)
            yield _marked(text, one.language)


def _marked(text: str, own: str) -> Text:
    """With the code of each other language behind it, since colours do not say which, and may be off."""
    line = Text()
    for span in marked(text, own):
        line.append(span.text, FOREIGN if span.foreign else MASKED if span.masked else None)
        if span.foreign:
            line.append(f"‹{span.foreign}›", LABEL)
    return line


def entry(row: Row) -> Entry:
    match row:
        case Prompt():
            return Entry(row.id, row.language, _some(f"gold {row.gold}", *row.defects), row.text, None, None)
        case Conversation():
            chain = chains.split(next((one.content for one in row.messages if one.role == "assistant"), ""))
            told = _some(*verdicts(row))
            return Entry(row.id, row.language, told, row.prompt.text, chain.reasoning, chain.answer)
        case Result():
            told = _some(row.way, row.benchmark, f"gold {row.gold}", *verdicts(row))
            return Entry(row.id, row.language, told, row.question, row.reasoning, row.answer)
        case Rollout():
            told = _some(*_rollout(row))
            return Entry(row.id, row.language, told, row.question, row.reasoning, row.answer)
        case Candidate():
            told = _some(*_candidate(row))
            return Entry(row.id, row.prompt.language, told, row.prompt.text, row.reasoning, row.answer)
        case _:
            raise TypeError(f"{type(row).__name__} is no row of a stage")


def _candidate(row: Candidate) -> Iterator[str]:
    yield f"gold {row.prompt.gold}"
    if isinstance(row, Judged):
        yield f"stopped by {row.stopped}: {row.reason}" if row.stopped else "passed"
        yield row.outcome or "not verified"
        yield from (f"{score.judge} {score.value:.4g}" for score in row.scores)
    yield from row.defects
    yield f"{row.completion_tokens:,} tokens"


def _rollout(row: Rollout) -> Iterator[str]:
    yield f"step {row.step}, sample {row.sample}"
    yield f"gold {row.gold}"
    yield "not decided" if row.reward is None else f"reward {row.reward:.4g}"
    yield row.gate or ""
    yield from (f"{term.name} {term.value:.4g}" for term in row.terms)
    yield from row.defects
    yield f"{row.tokens:,} tokens"


def _some(*told: str) -> tuple[str, ...]:
    return tuple(filter(None, told))
