"""From a model, a data set or one of its rows back to all that it was made from, and what became of that since.

    NAME, NAMESPACE/NAME              a model or a data set, at its newest commit; `@REVISION` behind it for another
    datasets/NAME, models/NAME        where there are both of that name
    NAME#ID                           a row of a data set

A repo knows its inputs at their commits (`Facts`), a row its parents: a result the model, a conversation the verdict, a
verdict the candidate, a candidate the prompt, a prompt its place in the source.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError
from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from pipelines import hub as hubs
from pipelines.cards import moment
from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.flow.items import FOLDERS
from pipelines.hub import Hub, Kind, Snapshot
from pipelines.records import RECORDS, Candidate, Conversation, Judged, Prompt, Result, Rollout, Row
from pipelines.screen import Screen

State = Literal["unchanged", "card edited", "changed since", "commit gone", "gone or private", "no repo", "row gone"]
"""What became of a parent. `card edited`: nothing but the card and the facts of a run differ from what was read."""
COLOURS: dict[str, str] = {
    "unchanged": "green",
    "card edited": "green",
    "changed since": "yellow",
    "commit gone": "red",
    "gone or private": "red",
    "no repo": "dim",
    "row gone": "red",
}
EXCERPT = 80


@dataclass(frozen=True, slots=True)
class Node:
    """A repo or a row, and what it was made from; `above` where its own parents are shown further up already."""

    title: str
    state: State
    notes: tuple[str, ...] = ()
    parents: tuple["Node", ...] = ()
    above: bool = False


def run(what: str, screen: Screen) -> None:
    address, _, row = what.partition("#")
    name, _, revision = address.partition("@")
    name = name.removeprefix("datasets/").removeprefix("models/")
    hub = hubs.connect(name.split("/")[0] if "/" in name else None, reading=True)
    found = _find(hub, hub.repo(name), address, revision or None)
    walk = _Walk(hub)
    node = walk.row(found, row) if row else walk.repo(found.input)
    screen.console.print(tree(node), soft_wrap=False)
    screen.say(summary(node))


def _find(hub: Hub, repo: str, address: str, revision: str | None) -> Snapshot:
    kinds: tuple[Kind, ...] = ("model", "dataset")
    if address.startswith(("datasets/", "models/")):
        kinds = ("dataset",) if address.startswith("datasets/") else ("model",)
    there = [found for kind in kinds if (found := hub.snapshot(repo, kind, revision=revision))]
    if not there:
        raise StageError(f"{hub.api.endpoint} has no {repo}{f' at {revision}' if revision else ''} for this token")
    if len(there) > 1:
        raise StageError(f"{repo} is a model and a data set: ask for models/{repo} or datasets/{repo}")
    return there[0]


@dataclass
class _Walk:
    hub: Hub
    seen: set[Input | tuple[Input, str]] = field(default_factory=set[Input | tuple[Input, str]])

    def repo(self, read: Input) -> Node:
        """A repo at the commit that was read, with its parents."""
        if "/" not in read.repo:
            what = "a file" if read.kind == "file" else "a model behind an API"
            return Node(read.repo, "no repo", (what,))
        title = f"{read.repo} at {read.revision[:12] or 'an unknown commit'}"
        kind: Kind = "model" if read.kind == "model" else "dataset"
        head = self.hub.snapshot(read.repo, kind)
        if head is None:
            return Node(title, "gone or private")
        then = self.hub.snapshot(read.repo, kind, revision=read.revision) if read.revision else head
        if then is None:
            return Node(title, "commit gone", (f"now at {head.revision[:12]}",))
        state = self._state(then, head)
        notes = (f"now at {head.revision[:12]}",) if state == "changed since" else ()
        if read in self.seen:
            return Node(title, state, notes, above=True)
        self.seen.add(read)
        told = self._facts(then)
        if isinstance(told, str):
            return Node(title, state, (*notes, told))
        made = f"{told.stage}, recipe {told.recipe}, {moment(told.updated)}, source {told.source or 'unknown'}"
        parents = dict.fromkeys((*told.inputs, *told.models))
        return Node(title, state, (*notes, made), tuple(self.repo(parent) for parent in parents))

    def row(self, place: Snapshot, name: str) -> Node:
        """A row of a repo at a commit, with its parents."""
        told = self._facts(place)
        if isinstance(told, str) or told.stage not in RECORDS:
            raise StageError(f"{place.repo} holds no rows of a stage: ask for it without #{name}")
        row = self._look_up(place, RECORDS[told.stage], name)
        title = f"{place.repo}#{name} at {place.revision[:12]}"
        if row is None:
            return Node(title, "row gone")
        head = self.hub.snapshot(place.repo, "dataset")
        still = head and (head.revision == place.revision or self._look_up(head, RECORDS[told.stage], name) == row)
        state: State = "unchanged" if still else "row gone"
        if (place.input, name) in self.seen:
            return Node(title, state, _notes(row), above=True)
        self.seen.add((place.input, name))
        return Node(title, state, _notes(row), tuple(self._parents(told, row)))

    def _parents(self, told: Facts, row: Row) -> Iterator[Node]:
        match row:
            case Result():
                yield self.repo(Input(repo=row.model, kind="model", revision=row.model_revision))
            case Conversation():
                yield from self._rows(told, "judge", row.id)
            case Rollout():
                yield from map(self.repo, told.inputs)
            case Judged():  # before Candidate, which it is, too
                yield from self._rows(told, "generate", row.candidate)
                judges = {score.model for score in row.scores}
                yield from (self.repo(model) for model in told.models if model.repo in judges)
            case Candidate():
                yield from self._rows(told, "prompts", row.prompt.id)
                yield self.repo(Input(repo=row.model, kind="model", revision=row.model_revision))
            case Prompt():
                sources = [source for source in told.inputs if source.repo == row.dataset]
                yield from map(self.repo, sources)
                yield from (self.repo(model) for model in told.models if model.repo == row.translator)
            case _:
                return

    def _rows(self, told: Facts, stage: str, name: str) -> Iterator[Node]:
        """The row of this id in those inputs that a stage made."""
        for read in told.inputs:
            place = self.hub.snapshot(read.repo, "dataset", revision=read.revision) if read.kind == "dataset" else None
            if place is None:
                yield self.repo(read)
            elif f"run/{stage}.json" in place.files:
                yield self.row(place, name)

    def _look_up(self, place: Snapshot, record: type[Row], name: str) -> Row | None:
        parts = [part for folder in FOLDERS for part in place.parts(folder)]
        for part, ids in self.hub.columns(place, parts, ["id"]):
            if name in ids["id"].to_pylist():
                return next(row for row in self.hub.part_rows(place, part, record) if row.id == name)
        return None

    def _facts(self, place: Snapshot) -> Facts | str:
        """What made it, or in words why that is not known. A model was made by its training, whatever came after."""
        paths = [path for path in place.files if path.startswith("run/") and path.endswith(".json")]
        if not paths:
            return "not made by this application"
        path = next((path for path in ("run/train.json", "run/reinforce.json") if path in paths), paths[0])
        try:
            return Facts.model_validate_json(self.hub.text(place.repo, place.kind, place.revision, path))
        except (ValidationError, UnicodeDecodeError):
            return f"{path} holds no facts that can be read"

    def _state(self, then: Snapshot, head: Snapshot) -> State:
        if then.revision == head.revision:
            return "unchanged"
        before, after = (self.hub.contents(one) for one in (then, head))
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        edited = all(path == "README.md" or path.startswith(("run/", ".")) for path in changed)
        return "card edited" if edited else "changed since"


def _notes(row: Row) -> tuple[str, ...]:
    """What a person would want to know of a row, in a few words."""
    match row:
        case Result():
            seen = f"{row.benchmark}, {row.language}, item {row.source_row or row.item}, sample {row.sample}, {row.way}"
            return (seen, row.outcome)
        case Rollout():
            worth = "not decided" if row.reward is None else f"reward {row.reward:.3g}"
            return (f"step {row.step}, sample {row.sample}", worth, row.gate or "")
        case Conversation():
            return (f"rejected: {row.reason}" if row.reason else "chosen", f"{row.tokens} tokens")
        case Judged():
            scores = [f"{score.judge} {score.value:.3g} by {score.model}" for score in row.scores]
            return (f"stopped by {row.stopped}: {row.reason}" if row.stopped else "passed all checks", *scores)
        case Candidate():
            return (f"sample {row.sample}, seed {row.seed}, {row.finish_reason}",)
        case Prompt():
            translated = (f"translated by {row.translator}",) if row.translator else ()
            return (f"{row.dataset}, row {row.source_row}", *translated, row.text)
        case _:
            return ()


def tree(node: Node) -> Tree:
    """As it is shown. What repos and rows say is text, never markup or a command to the terminal."""
    made = Tree(_label(node))
    _grow(made, node)
    return made


def _grow(made: Tree, node: Node) -> None:
    for parent in node.parents:
        _grow(made.add(_label(parent)), parent)


def _label(node: Node) -> Group:
    first = Text(_plain(node.title), "bold").append(f"  {node.state}", f"not bold {COLOURS[node.state]}")
    if node.above:
        first.append(", its parents as above", "not bold dim")
    notes = (_plain(note) for note in node.notes)
    return Group(first, *(Text(note if len(note) <= EXCERPT else f"{note[: EXCERPT - 1]}…", "dim") for note in notes))


def _plain(text: str) -> str:
    """One line, without a command to the terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def summary(node: Node) -> str:
    states = [one.state for one in {(one.title, one.state): one for one in _all(node)}.values()]
    lost = [state for state in states if COLOURS[state] == "red"]
    changed = states.count("changed since")
    if not lost and not changed:
        return f"all of the {len(states)} are there as they were read"
    return f"of {len(states)}: {changed} changed since, {len(lost)} gone"


def _all(node: Node) -> Iterator[Node]:
    yield node
    for parent in node.parents:
        yield from _all(parent)
