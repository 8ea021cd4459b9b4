"""Run facts: what made the rows of a repo, from what, and what it took. They travel with them, as run/STAGE.json."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypedDict

from pipelines.records import Record


class Input(Record):
    """A repo that was read, at the commit that was read; or a file of the machine (`kind` file), by its digest."""

    repo: str
    kind: str
    revision: str


def moved(before: Iterable[Input], now: Iterable[Input]) -> list[str]:
    """For a person, what is read at another commit than before."""
    known = {(one.kind, one.repo): one.revision for one in before}
    return [
        f"{one.repo} has changed: {known[one.kind, one.repo][:12]} was read before, {one.revision[:12]} is now"
        for one in now
        if known.get((one.kind, one.repo), one.revision) != one.revision
    ]


class Usage(Record):
    """What the models were asked for: requests that were answered, and the tokens of prompts and answers."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: "Usage") -> "Usage":
        return Usage(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    def since(self, before: "Usage") -> "Usage":
        return Usage(
            requests=self.requests - before.requests,
            prompt_tokens=self.prompt_tokens - before.prompt_tokens,
            completion_tokens=self.completion_tokens - before.completion_tokens,
        )


class Spent(Record):
    """What one model took, or will take: its requests, money, and the hours of GPUs that were held for it."""

    model: str
    usage: Usage = Usage()
    dollars: float | None = None
    """US dollars; None where no price is known."""
    gpu_hours: float | None = 0.0
    """None where it cannot be told (in a plan alone)."""

    def plus(self, other: "Spent", sign: int = 1) -> "Spent":
        usage = self.usage.plus(other.usage) if sign > 0 else self.usage.since(other.usage)
        return Spent(
            model=self.model,
            usage=usage,
            dollars=known((self.dollars, sign * other.dollars if other.dollars is not None else None)),
            gpu_hours=known((self.gpu_hours, sign * other.gpu_hours if other.gpu_hours is not None else None)),
        )


def known(amounts: Iterable[float | None]) -> float | None:
    """The sum of those that are known; None where none is."""
    found = [amount for amount in amounts if amount is not None]
    return sum(found) if found else None


def by_model(*several: Iterable[Spent]) -> dict[str, Spent]:
    """The sums, model by model."""
    total: dict[str, Spent] = {}
    for spent in (one for some in several for one in some):
        total[spent.model] = total[spent.model].plus(spent) if spent.model in total else spent
    return total


Counts = Mapping[str, Mapping[str, int]]
"""Per language, rows by what became of them, in the order in which it happens; the first counts all of them."""


def added(counts: Counts, more: Counts, sign: int = 1) -> dict[str, dict[str, int]]:
    """The sum, or the difference, step by step."""
    total = {language: dict(steps) for language, steps in counts.items()}
    for language, steps in more.items():
        row = total.setdefault(language, {})
        for step, count in steps.items():
            row[step] = row.get(step, 0) + sign * count
    return total


def sum_of(several: Iterable[Counts]) -> Counts:
    return reduce(added, several, dict[str, dict[str, int]]())


def rows(counts: Counts, languages: Iterable[str]) -> int:
    """How many rows there are in these languages."""
    return sum(next(iter(counts[language].values()), 0) for language in languages if language in counts)


def all_shards(done: Iterable[str]) -> bool:
    """Whether the shards, such as `2/4`, make a whole."""
    there = set(done)
    sizes = {int(name.split("/")[1]) for name in there}
    return any(all(f"{index}/{of}" in there for index in range(1, of + 1)) for of in sizes)


class Contract(Record):
    """What a server was found to do before anything was paid for (`llm.probe`). None: not tried, or it did not show."""

    model: str
    engine: str
    seeds: bool | None = None
    """Whether two seeds gave two samples."""
    schema_kept: bool | None = None
    """Whether an answer kept to the JSON schema that was sent."""
    reasoning: str | None = None
    """Where the think block arrives: the name of a field, or `inline`."""
    prefilled: bool | None = None
    """Whether the chat template opens the think block, so that no text holds the opening tag."""
    opening: bool | None = None
    """Whether the model goes on from an opening that it is given."""
    likelihood: bool | None = None
    """Whether it says how likely a text is."""
    alternatives: bool | None = None
    """Whether it says what else it could have written, and how likely."""
    context: int | None = None
    """Tokens of prompt and answer together."""
    served: str | None = None
    """What the server calls its only model, where that is another name than the one asked for."""

    @property
    def told(self) -> str:
        """All that was found, for a person."""
        verdicts = (
            (self.seeds, "another seed gives another sample", "seeds change nothing"),
            (self.schema_kept, "keeps to a JSON schema", "does not keep to a JSON schema"),
            (self.prefilled, "its template opens the think block", "the model opens the think block"),
            (self.opening, "goes on from an opening", ""),
            (self.likelihood, "says how likely a text is", ""),
            (self.alternatives, "says how likely each score was", ""),
        )
        phrases = [yes if verdict else no for verdict, yes, no in verdicts if verdict is not None]
        phrases += [f"reasoning {self.reasoning}"] if self.reasoning == "inline" else []
        phrases += [f"reasoning in the field {self.reasoning}"] if self.reasoning not in (None, "inline") else []
        phrases += [f"{self.context} tokens of context"] if self.context else []
        phrases += [f"calls its model {self.served}"] if self.served else []
        return ", ".join(["one choice per request", *phrases])


class Past(Record):
    """A stage that something was made by, in short: what it wrote, with which models, and what that took."""

    stage: str
    repo: str
    revision: str
    models: tuple[Input, ...] = ()
    instructions: tuple[str, ...] = ()
    spent: tuple[Spent, ...] = ()
    seconds: float = 0.0


class Facts(Record):
    stage: str
    recipe: str
    digest: str
    """Of all in the recipe that these rows depend on (`Recipe.digest`)."""
    complete: bool
    """Whether the stage came to its end. Samples that failed do not stop it: they are counted in `failures`."""
    failures: int = 0
    inputs: tuple[Input, ...]
    models: tuple[Input, ...] = ()
    contracts: tuple[Contract, ...] = ()
    instructions: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    """Those that came to their end, as `2/4`; `1/1` is a run without shards."""
    counts: Mapping[str, Mapping[str, int]] = {}
    """`Counts`."""
    usage: Usage = Usage()
    spent: tuple[Spent, ...] = ()
    """By model; their usage makes `usage`."""
    seconds: float = 0.0
    """Wall-clock time at work, over all sessions and shards."""
    ledgers: Mapping[str, int] = {}
    """How far `spent` and `seconds` count each ledger (`flow.ledger`) of a machine, so that none is counted twice."""
    updated: str = ""
    machine: str = ""
    source: str = ""
    """The git commit of this application, as far as it is known."""
    image: str = ""
    """The container image that it ran in, by its digest; empty where it ran in none, or in one that was not told."""
    licences: Mapping[str, str] = {}
    """What the cards of inputs and models say, and of all that those were made from; empty where one says nothing."""
    history: tuple[Past, ...] = ()
    """The stages before, the first first, each as it was when this one read it."""
    details: Mapping[str, Any] = {}
    """What only this stage knows, for its card."""

    def past(self, repo: str, revision: str) -> tuple[Past, ...]:
        """What whoever reads this repo at this commit has behind it."""
        told = {name: getattr(self, name) for name in ("stage", "models", "instructions", "spent", "seconds")}
        return (*self.history, Past(repo=repo, revision=revision, **told))


class Here(TypedDict):
    updated: str
    machine: str
    source: str
    image: str


def here() -> Here:
    """When, where and by which code facts are written."""
    return Here(updated=now(), machine=machine(), source=source(), image=image())


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def machine() -> str:
    """Processor, cores and accelerator, as a person would name the machine in a table."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def image() -> str:
    """What started the container knows its image, and tells it as THINKIN_IMAGE; inside there is no way to know."""
    return os.environ.get("THINKIN_IMAGE", "")


@cache
def source() -> str:
    """The commit of this application: baked into an image as THINKIN_REVISION, or asked of git in a clone."""
    if revision := os.environ.get("THINKIN_REVISION"):
        return revision
    root = Path(__file__).parent.parent
    if not shutil.which("git"):
        return ""
    asked = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git of the PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""
