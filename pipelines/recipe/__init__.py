"""A recipe: a frozen and typed config.

What a stage's output depends on is hashed by `Recipe.digest`, so that a changed recipe can be told apart from a run
that is merely being resumed.
"""

from collections.abc import Iterable
from typing import Literal, Self, get_args

import yaml
from pydantic import Field, model_validator

from pipelines import instructions
from pipelines.prices import Prices
from pipelines.recipe.config import Config as Config
from pipelines.recipe.engines import Engine as Engine
from pipelines.recipe.engines import GgufImport as GgufImport
from pipelines.recipe.engines import Sampling as Sampling
from pipelines.recipe.judging import AnyJudge as AnyJudge
from pipelines.recipe.judging import Calibration as Calibration
from pipelines.recipe.judging import LikelihoodJudge as LikelihoodJudge
from pipelines.recipe.judging import RubricJudge as RubricJudge
from pipelines.recipe.questions import Benchmark as Benchmark
from pipelines.recipe.questions import GymSource as GymSource
from pipelines.recipe.questions import HubSource as HubSource
from pipelines.recipe.questions import ProblemSource as ProblemSource
from pipelines.recipe.questions import Source as Source
from pipelines.recipe.stages import Adaptive as Adaptive
from pipelines.recipe.stages import Choose as Choose
from pipelines.recipe.stages import Evaluate as Evaluate
from pipelines.recipe.stages import Generate as Generate
from pipelines.recipe.stages import Judge as Judge
from pipelines.recipe.stages import Prompts as Prompts
from pipelines.recipe.stages import Translate as Translate
from pipelines.recipe.stages import Way as Way
from pipelines.recipe.training import Launched as Launched
from pipelines.recipe.training import Lora as Lora
from pipelines.recipe.training import Mix as Mix
from pipelines.recipe.training import Reinforce as Reinforce
from pipelines.recipe.training import Terms as Terms
from pipelines.recipe.training import Train as Train
from pipelines.records import digest

Stage = Literal["prompts", "generate", "judge", "choose", "train", "reinforce", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Checkpoints(Config):
    """When a running stage publishes what it has: whichever comes first."""

    rows: int = Field(default=1_000, ge=1)
    minutes: float = Field(default=10.0, gt=0)


class Budget(Config):
    """The most that all stages of the recipe may take together, by the facts of its repos; a run stops in order there.
    What the recipe took before it was changed is not among it."""

    dollars: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    """Of prompts and answers, whatever they cost."""
    gpu_hours: float | None = Field(default=None, gt=0)
    hours: float | None = Field(default=None, gt=0)
    """At work, on whatever machine; several at a time are added up."""


class Recipe(Config):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    namespace: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The Hub account to publish under; the token's own where not given."""
    private: bool = False
    license: str = "apache-2.0"
    limits: tuple[str, ...] = ()
    """Known limits of what this recipe makes, for its cards."""
    languages: tuple[str, ...] = Field(min_length=1)
    seed: int = 0
    limit: int | None = Field(default=None, ge=1)
    """At most so many prompts and benchmark items per language: for a first try."""
    imports: tuple[GgufImport, ...] = ()
    engines: dict[str, Engine]
    prompts: Prompts
    generate: Generate
    judge: Judge = Judge()
    calibration: Calibration | None = None
    choose: Choose = Choose()
    train: Train
    merge: float | None = Field(default=None, gt=0, lt=1)
    """The share of the trained weights in a second model, of them and the student's own; 0.5 is the plain average."""
    reinforce: Reinforce | None = None
    """A recipe without this section goes from *train* to *evaluate*."""
    evaluate: Evaluate
    checkpoints: Checkpoints = Checkpoints()
    budget: Budget = Budget()
    prices: Prices = Prices()
    """Beside those that come with the house, or in their place."""

    @model_validator(mode="after")
    def engines_exist(self) -> Self:
        for key, name in self._engine_references():
            if name not in self.engines:
                raise ValueError(f"{key} names the engine {name!r}; there are: {', '.join(self.engines)}")
        return self

    @model_validator(mode="after")
    def mixed_languages_are_there(self) -> Self:
        wanted = {*self.train.mix.weights, *(["en"] if self.train.mix.english else [])}
        if missing := wanted.difference(self.languages):
            raise ValueError(f"train.mix names {', '.join(sorted(missing))}, and languages does not")
        return self

    @model_validator(mode="after")
    def what_is_evaluated_is_made(self) -> Self:
        lacking = {"merged": "merge: 0.5"} if self.merge is None else {}
        lacking |= {"reinforced": "reinforce: {}"} if self.reinforce is None else {}
        for way in self.evaluate.ways:
            if way.model in lacking:
                raise ValueError(
                    f"evaluate.ways: {way.name!r} asks the {way.model} model, and there is none: add "
                    f"{lacking[way.model]}"
                )
        return self

    @model_validator(mode="after")
    def rank_names_columns(self) -> Self:
        columns = {"tokens", *(judge.name for judge in self.judge.judges)}
        for key in self.choose.rank:
            if key.removeprefix("-") not in columns:
                raise ValueError(f"choose.rank names {key!r}; there are: {', '.join(sorted(columns))}")
        return self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those that a run of this recipe consists of."""
        return tuple(stage for stage in STAGES if getattr(self, stage) is not None)

    def machines(self, stage: Stage) -> int:
        """How many of them train together."""
        section = getattr(self, stage)
        return section.machines if isinstance(section, Launched) else 1

    def digest(self, stage: Stage) -> str:
        """Of all in the recipe that decides which rows a stage makes, and how."""
        calibrated = self.calibration.model_dump() if stage == "judge" and self.calibration else None
        return digest(self.settings(stage), self.languages, self.seed, self.limit, calibrated)

    def settings(self, stage: Stage) -> str:
        """Digest of how a stage makes a row, whichever rows are asked for."""
        held_out = [it.model_dump(mode="json") for it in self.evaluate.benchmarks] if stage == "choose" else []
        used = {name: self.engines[name].identity() for key, name in self._engine_references() if key.startswith(stage)}
        checks = [self.judge.labels, self.judge.purity] if stage == "generate" and self.generate.adaptive else []
        section = getattr(self, stage).model_dump(mode="json") if stage in self.stages else None
        return digest(stage, section, used, self._told(stage), held_out, checks)

    def engines_of(self, stage: Stage) -> tuple[Engine, ...]:
        """Those that a stage asks, each once."""
        names = [name for key, name in self._engine_references() if key.startswith(stage)]
        return tuple(self.engines[name] for name in dict.fromkeys(names))

    def _told(self, stage: Stage) -> list[str]:
        """The very texts of the instructions that a stage uses."""
        translate = self.prompts.translate
        names: dict[Stage, list[str]] = {
            "prompts": [translate.instruction] if translate else [],
            "generate": [self.generate.instruction],
            "judge": [judge.instruction for judge in self.judge.judges if judge.kind == "rubric"],
            "evaluate": [way.instruction for way in self.evaluate.ways],
        }
        return sorted(
            instructions.load(name, tongue).label for name in names.get(stage, ()) for tongue in self.languages
        )

    def _engine_references(self) -> Iterable[tuple[str, str]]:
        if self.prompts.translate:
            yield "prompts.translate.engine", self.prompts.translate.engine
        yield "generate.engine", self.generate.engine
        for judge in self.judge.judges:
            yield f"judge.judges.{judge.name}.engine", judge.engine
        yield "evaluate.engine", self.evaluate.engine


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, with every default written out and every override in place."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
