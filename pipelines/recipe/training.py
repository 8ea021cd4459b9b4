"""How a student is trained, and then reinforced."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from pipelines.recipe.config import Config
from pipelines.records import Origin


class Lora(Config):
    r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


class Mix(Config):
    """Which of the chosen chains the student sees, and how often; for comparisons, one recipe for each mixture."""

    chains: tuple[Origin, ...] = Field(default=get_args(Origin), min_length=1)
    """Their origins, as `Conversation.origin` tells them."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default={})
    """How often a row of a language is shown in an epoch; 1 where not given."""
    english: float | None = Field(default=None, gt=0, lt=1)
    """The share of English among all that is shown, against forgetting; where not given, English is as any language."""


class Launched(Config):
    """Over how many processes a training runs."""

    accelerate: Literal["single", "ddp", "zero3", "fsdp2"] = "single"
    processes: int = Field(default=1, ge=1)
    """Of each machine: one for each of its GPUs."""
    machines: int = Field(default=1, ge=1)
    """Each of them runs the same command, with NODE_RANK and MASTER_ADDR in its environment."""

    @model_validator(mode="after")
    def launched(self) -> Self:
        if self.accelerate == "single" and self.processes * self.machines > 1:
            raise ValueError("several processes need accelerate: ddp, zero3 or fsdp2")
        return self


class Train(Launched):
    student: str
    revision: str | None = None
    template: str | None = None
    """A template of trl.chat_template_utils by name, or a file; by default the student's own, where it will do."""
    mix: Mix = Mix()
    lora: Lora | None = None
    cut: float = Field(default=0.0, ge=0, le=1)
    """The share of rows that may be longer than `max_length`; training is refused above it."""
    sft: dict[str, Any] = Field(default={})
    """Arguments of TRL's SFTConfig, by TRL's own names."""


class Terms(Config):
    """What each part of the reward is worth at the most (`rewards`). A term of 0 is left out."""

    accuracy: float = 1.0
    format: float = 0.1
    faithfulness: float = Field(default=0.0, ge=0)
    """For the share of the think block's segments in the language, where that alone does not close the gate."""
    length: float = 0.0
    """Taken off a response of `budget` tokens; in proportion from half of it on."""
    loop: float = 0.5
    """Taken off where the response repeats itself."""
    budget: int = Field(default=4096, ge=1)


class Reinforce(Launched):
    passed_above: float = Field(default=0.0, ge=0, lt=1)
    passed_below: float = Field(default=1.0, gt=0, le=1)
    """A prompt is taken if the share of its candidates that passed lies between the two."""
    prompts: int | None = Field(default=None, ge=1)
    """At most so many of each language."""
    terms: Terms = Terms()
    lora: Lora | None = Lora()
    """None trains all weights."""
    grpo: dict[str, Any] = Field(default={})
    """Arguments of TRL's GRPOConfig, by TRL's own names."""

    @model_validator(mode="after")
    def some_rate_lies_between(self) -> Self:
        if self.passed_above >= self.passed_below:
            raise ValueError("passed_above must be less than passed_below")
        return self
