"""What the stage *train* and the training process say to each other.

The process gets the path of a `Job`. On its standard output it writes one JSON object a line:

    {"event": "checked", "check": Check}            the rows passed the pre-flight
    {"event": "progress", "progress": Progress}     at the start, and after every logged step
    {"event": "refused", "why": "..."}              a line for a person; nothing was trained

When it ends well it leaves a `Report` beside its output.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.records import Record


class Job(Record):
    student: str
    """The folder of the student's weights and tokenizer."""
    student_repo: str
    student_revision: str
    rows: str
    """A file with one `Row` a line."""
    output: str
    """The folder for the finished model; what is needed only on the way goes beside it."""
    template: str | None
    lora: Mapping[str, Any] | None
    cut: float
    seed: int
    sft: Mapping[str, Any]

    @property
    def report(self) -> Path:
        return Path(self.output).with_name("report.json")

    @property
    def trained(self) -> Path:
        """What the trainer itself saves: an adapter, or the whole model in the precision it was trained in."""
        return Path(self.output).with_name("trained")


class Row(Record):
    id: str
    language: str
    messages: tuple[Mapping[str, str], ...]


class Part(Record):
    """A stretch of a training example as the model sees it: trained on, or only read."""

    trained: bool
    text: str


class Tokens(Record):
    rows: int
    tokens: int
    trained: int
    """Tokens that the loss is on."""
    cut: int
    """Rows longer than `max_length`."""


class Check(Record):
    """What the pre-flight found, before the first step."""

    template: str
    why: str
    max_length: int | None
    longest: int
    languages: Mapping[str, Tokens]
    excerpt: tuple[Part, ...]


class Progress(Record):
    step: int
    steps: int
    loss: float | None
    tokens_per_second: float | None


class Report(Record):
    check: Check
    arguments: Mapping[str, Any]
    """Of SFTConfig, those that the recipe or this application sets."""
    steps: int
    tokens: int
    """Seen in training, over all epochs, without padding."""
    seconds: float
    loss: tuple[tuple[int, float], ...]
    """The curve: (step, loss)."""
