"""Who judges, and what the judges are measured by."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.recipe.config import Config


class RubricJudge(Config):
    """A model that is told a rubric and answers with a whole number from 1 to 5."""

    kind: Literal["rubric"]
    name: str
    engine: str
    instruction: str
    least: int = Field(default=1, ge=1, le=5)
    """A lower score stops the candidate."""
    expected: bool = False
    """Whether the score is the mean of 1 to 5, each with the weight that the model gives it: finer than the one digit
    that it writes, and the same each time. Its server has to tell log-probabilities (vLLM, TGI, llama.cpp, OpenAI)."""


class LikelihoodJudge(Config):
    """The mean log-probability per token of the response under a model, given the prompt.

    It ranks the candidates of one prompt and is no score between prompts, so it stops nothing.
    """

    kind: Literal["likelihood"]
    name: str
    engine: str


AnyJudge = Annotated[RubricJudge | LikelihoodJudge, Field(discriminator="kind")]


class Calibration(Config):
    """Responses that people scored, with which the judges are compared: a Hub data set or a file, with the columns of
    `calibration.Labelled`. `{language}` in `config` is replaced by each of the recipe's languages."""

    id: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    file: str | None = None
    kappa: float = Field(default=0.4, ge=-1, le=1)
    """Less agreement of a rubric judge than this is a warning."""
    concordance: float = Field(default=0.6, ge=0, le=1)
    """The same for the share of pairs that a likelihood judge ranks as people do."""

    @model_validator(mode="after")
    def one_set(self) -> Self:
        if (self.id is None) == (self.file is None):
            raise ValueError("give either id or file")
        return self
