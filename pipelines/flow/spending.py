"""What a stage spends, by model: requests and tokens, money, GPU hours."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.facts import Spent, Usage, known
from pipelines.prices import Prices
from pipelines.recipe import Engine

if TYPE_CHECKING:  # a stage that asks no model needs no client
    from pipelines.llm import Door


@dataclass
class Meter:
    """Counts what goes through one door."""

    door: "Door"
    engine: Engine
    prices: Prices
    _complete: Prices = field(init=False)

    def __post_init__(self) -> None:
        self._complete = self.prices.complete()

    def read(self) -> Spent:
        usage, hours = self.door.usage, self.door.hours * self.engine.accelerators
        dollars = cost(self._complete, self.engine, usage, hours)
        return Spent(model=self.engine.model, usage=usage, dollars=dollars, gpu_hours=hours)


def cost(prices: Prices, engine: Engine | None, usage: Usage, gpu_hours: float | None) -> float | None:
    """US dollars for tokens of an API and hours of GPUs, as far as there is a price; None where there is none."""
    tokens, hour = engine.token_price(prices) if engine else None, prices.gpu_hour()
    return known(
        (
            tokens.dollars(usage.prompt_tokens, usage.completion_tokens) if tokens else None,
            hour * gpu_hours if hour is not None and gpu_hours else None,
        )
    )
