"""Where questions come from, for training and for evaluation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.recipe.config import Config


class HubSource(Config):
    """Rows of a Hub data set. `{language}` in `config`, `split` or `files` is replaced by the language wanted."""

    kind: Literal["hub"]
    id: str
    """Without a namespace it is a data set of the account that the run publishes under."""
    config: str | None = None
    split: str | None = "train"
    """None takes the one that there is."""
    files: str | None = None
    """The data files, by their pattern, where the repo itself does not tell them apart."""
    revision: str | None = None
    text: str
    gold: str | None = None
    gold_pattern: str | None = None
    r"""A regular expression whose first group is the answer inside the column `gold`, such as `####\s*(.+)`."""
    language: str
    """The language of the rows, or `{language}` where there is a config for each."""
    rows: int | None = Field(default=None, ge=1)


class GymSource(Config):
    """A task of reasoning_gym, by its name; English, with a verifiable answer."""

    kind: Literal["gym"]
    task: str
    settings: dict[str, Any] = Field(default={})
    rows: int = Field(ge=1)
    seed: int = 0


class ProblemSource(Config):
    """Our own word problems, written in each of their languages rather than translated."""

    kind: Literal["problems"]
    families: tuple[str, ...]
    rows: int = Field(ge=1)
    seed: int = 0


Source = Annotated[HubSource | GymSource | ProblemSource, Field(discriminator="kind")]


class Benchmark(Config):
    """Held-out questions. Many are described in pipelines/benchmarks; a recipe gives their names."""

    name: str
    source: Source
    languages: tuple[str, ...] | None = None
    """Those that the source has; of the recipe's languages only these are asked."""
    prompt: dict[str, str] = Field(default={})
    """What is asked, per language: `$text` stands for the question, which is asked as it is where nothing is given."""
    answer: Literal["number", "option", "expression"] | None = None
    """What the gold answers are. An item whose gold answer is none is left out and counted, not called wrong."""
    task: str | None = None
    """The id of the task in the `eval.yaml` of a data set that the Hub lists as a benchmark, with `{language}` for the
    language: the result then also goes to that data set's leaderboard (`leaderboards`)."""

    @model_validator(mode="after")
    def prompts_hold_the_question(self) -> Self:
        for language, text in self.prompt.items():
            if "$text" not in text:
                raise ValueError(f"prompt.{language} needs $text, where the question will stand")
        return self
