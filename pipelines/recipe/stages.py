"""What each stage is told, under its own name."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.recipe.config import Config
from pipelines.recipe.engines import Sampling
from pipelines.recipe.judging import AnyJudge
from pipelines.recipe.questions import Benchmark, Source


class Translate(Config):
    engine: str
    instruction: str = "translate.v1"
    max_tokens: int = Field(default=2048, ge=1)


class Prompts(Config):
    sources: tuple[Source, ...] = Field(min_length=1)
    translate: Translate | None = None


class Adaptive(Config):
    """How many samples a prompt gets, as those before them went: `floor` at first; then as many as are missing until
    `target` of them pass structure, language and, where there is a gold answer, verification; at most
    `generate.samples`. Of `give_up` without a good one, the last was the last."""

    floor: int = Field(default=2, ge=1)
    target: int = Field(default=2, ge=1)
    give_up: int = Field(default=4, ge=1)


class Generate(Config):
    engine: str
    instruction: str = "plain.v1"
    samples: int = Field(default=8, ge=1)
    """Of each prompt; where `adaptive` is given, the most."""
    adaptive: Adaptive | None = None
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def within_the_ceiling(self) -> Self:
        if self.adaptive and max(self.adaptive.floor, self.adaptive.target, self.adaptive.give_up) > self.samples:
            raise ValueError(f"adaptive: floor, target and give_up are at most samples, which is {self.samples}")
        return self


class Judge(Config):
    labels: tuple[str, ...] | None = None
    """The languages that identification may name; all that it knows where not given."""
    purity: float = Field(default=1.0, ge=0, le=1)
    """The least share of the think block's characters that must be in the prompt's language."""
    judges: tuple[AnyJudge, ...] = ()


class Choose(Config):
    rank: tuple[str, ...] = ("-tokens",)
    """Columns to sort a prompt's candidates by, the first first: a judge's name, or `tokens`. The highest value
    wins; a leading minus lets the lowest win."""
    per_prompt: int = Field(default=1, ge=1)
    unverified: bool = False
    """Whether a candidate may be chosen whose answer could not be checked (no gold, or undecidable)."""


class Way(Config):
    """One model, asked in one way."""

    name: str
    model: Literal["base", "trained", "merged", "reinforced"]
    instruction: str
    english: bool = False
    """Whether the model is made to think in English here: the ceiling, and what the native tax is counted against."""


class Evaluate(Config):
    engine: str
    """An engine whose `model` is the student; the trained model is served in the same way."""
    ways: tuple[Way, ...] = Field(min_length=1)
    benchmarks: tuple[Benchmark, ...] = Field(min_length=1)
    samples: int = Field(default=1, ge=1)
    sampling: Sampling = Sampling()
