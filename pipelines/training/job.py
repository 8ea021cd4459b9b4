"""What the stages *train* and *reinforce* and their training processes say to each other.

A process gets the path of a `Job` or of a `Reinforcement`. The first of them writes one JSON object a line on its
standard output:

    {"event": "checked", "check": Check}            the rows passed the pre-flight
    {"event": "said", "line": "..."}                what a person should know before the first step
    {"event": "progress", "progress": Progress}     at the start, and after every logged step
    {"event": "saved", "saved": Saved}              a checkpoint, for the stage to publish and to remove
    {"event": "refused", "why": "..."}              a line for a person; nothing was trained

When it ends well it leaves a `Report`, or a `Reinforced` with its rollouts, beside its output. Where the stage has
made the file `stop`, it saves a checkpoint after the next logged step instead, and ends.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pipelines.recipe import Terms
from pipelines.records import Record


class Training(Record):
    """What both kinds of training are told."""

    name: str
    """Of the recipe: the project under which the training is found in Trackio."""
    student: str
    """The folder of the student's weights and tokenizer."""
    student_repo: str
    student_revision: str
    rows: str
    """A file with one `Row`, or one `Question`, a line."""
    output: str
    """The folder for the finished model; what is needed only on the way goes beside it."""
    lora: Mapping[str, Any] | None
    seed: int
    save_every: float | None = None
    """Seconds between two checkpoints; None for none."""
    resume: str | None = None
    """The folder of the checkpoint to go on from."""

    @property
    def report(self) -> Path:
        return Path(self.output).with_name("report.json")

    @property
    def stop(self) -> Path:
        return Path(self.output).with_name("stop")

    @property
    def trained(self) -> Path:
        """What the trainer itself saves: an adapter, or the whole model in the precision it was trained in."""
        return Path(self.output).with_name("trained")


class Job(Training):
    """A supervised fine-tuning."""

    kind: Literal["sft"] = "sft"
    template: str | None
    cut: float
    sft: Mapping[str, Any]

    @property
    def prepared(self) -> Path:
        """Tokens and labels of all rows."""
        return Path(self.output).with_name("prepared.arrow")


class Reinforcement(Training):
    kind: Literal["grpo"] = "grpo"
    terms: Terms
    grpo: Mapping[str, Any]

    @property
    def rollouts(self) -> Path:
        """Every response so far with its reward, a `Rollout` a line; a checkpoint holds a copy."""
        return Path(self.output).with_name(ROLLOUTS)


ROLLOUTS = "rollouts.jsonl"


class Question(Record):
    """A prompt whose answer can be verified."""

    id: str
    language: str
    text: str
    gold: str


class Row(Record):
    id: str
    language: str
    messages: tuple[Mapping[str, str], ...]


class Part(Record):
    """A stretch of a training example as the model sees it: trained on, or only read."""

    trained: bool
    text: str


class Excerpt(Record):
    """One row as the model gets it."""

    language: str
    parts: tuple[Part, ...]


class Tokens(Record):
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    """Tokens that the loss is on."""
    cut: int = 0
    """Rows longer than `max_length`."""


class Measure(Record):
    """Of all rows, as they were before any was cut."""

    languages: Mapping[str, Tokens]
    lengths: tuple[tuple[int, int], ...]
    """The histogram: (tokens at the most, rows), each bound twice the one before."""
    longest: int


class Check(Record):
    """What the pre-flight found, before the first step."""

    template: str
    why: str
    template_digest: str
    """Of the text that is saved with the model, and so used in training, evaluation and serving alike."""
    max_length: int | None
    measure: Measure
    found: Mapping[str, str]
    """What was looked at, and what was seen."""
    excerpts: tuple[Excerpt, ...]


class Progress(Record):
    step: int
    steps: int
    loss: float | None
    reward: float | None = None
    """The mean over all responses of the step."""
    tokens_per_second: float | None
    memory: float | None
    """GB at the most, of the accelerator where there is one."""
    gpus: int = 0
    """On which it runs, over all machines."""


class Saved(Record):
    step: int
    folder: str


class Report(Record):
    check: Check
    arguments: Mapping[str, Any]
    """Of SFTConfig, those that the recipe or this application sets."""
    steps: int
    tokens: int
    """Seen in training, over all epochs, without padding."""
    seconds: float
    """In this process; what came before the checkpoint it went on from is not in it."""
    resumed: int
    """The step of that checkpoint; 0 where there was none."""
    loss: tuple[tuple[int, float], ...]
    """The curve: (step, loss)."""


class Reinforced(Record):
    arguments: Mapping[str, Any]
    """Of GRPOConfig, those that the recipe or this application sets."""
    written_by: Literal["vLLM", "transformers"]
    """Which of them wrote the responses."""
    opened: bool
    """Whether the chat template opens the think block."""
    steps: int
    tokens: int
    """Of prompts and responses, over all steps."""
    seconds: float
    """As in `Report`, like what follows."""
    resumed: int
