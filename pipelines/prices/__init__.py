"""What models and GPUs cost: a small dated file beside this one, under what a recipe or `--prices FILE` says.

Nothing here is asked of anybody: a figure is what stood at its source on its date.
"""

import datetime
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FILE = Path(__file__).parent / "prices.yaml"


class Figure(BaseModel):
    """A figure, where it stands, and when it stood there."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str = ""
    date: datetime.date | None = None


class TokenPrice(Figure):
    """US dollars for a million tokens."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    batch: float = Field(default=1.0, ge=0, le=1)
    """The share of it that the provider's batch API costs."""

    def batched(self) -> Self:
        update = {"prompt": self.prompt * self.batch, "completion": self.completion * self.batch}
        return self.model_copy(update=update)

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class GpuPrice(Figure):
    """One GPU for an hour, in US dollars; `teraflops` is its peak in dense bfloat16."""

    dollars: float = Field(ge=0)
    teraflops: float = Field(gt=0)


class Prices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    models: dict[str, TokenPrice] = {}
    """By `HOST/MODEL`, as in `api.openai.com/gpt-4o`."""
    gpus: dict[str, GpuPrice] = {}
    gpu: str | None = None
    """Which of `gpus` the run is on. Where none is named, hours are counted, and cost nothing."""

    @model_validator(mode="after")
    def gpu_is_known(self) -> Self:
        known = {**(shipped().gpus if self.gpu else {}), **self.gpus}
        if self.gpu and self.gpu not in known:
            raise ValueError(f"gpu names {self.gpu!r}, and gpus knows: {', '.join(sorted(known))}")
        return self

    def complete(self) -> "Prices":
        """These, and below them those that come with the house."""
        base = shipped()
        return Prices(models={**base.models, **self.models}, gpus={**base.gpus, **self.gpus}, gpu=self.gpu)

    def gpu_hour(self) -> float | None:
        return self.gpus[self.gpu].dollars if self.gpu else None


def place(url: str, model: str) -> str:
    """Under which name a price stands."""
    return f"{urlsplit(url).hostname}/{model}"


@cache
def shipped() -> Prices:
    return Prices.model_validate(yaml.safe_load(FILE.read_text("utf-8")))
