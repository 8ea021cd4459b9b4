"""What a stage spends, by model: requests and tokens, money, GPU hours."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.facts import Spent, Usage, known
from pipelines.prices import Prices, TokenPrice
from pipelines.recipe import Engine

if TYPE_CHECKING:  # a stage that asks no model needs no client
    from pipelines.llm import Door


@dataclass
class Meter:
    """Counts what goes through one door."""

    door: "Door"
    engine: Engine
    prices: Prices
    _tokens: TokenPrice | None = field(init=False)
    _hour: float | None = field(init=False)

    def __post_init__(self) -> None:
        known = self.prices.complete()
        self._tokens, self._hour = self.engine.token_price(known), known.gpu_hour()

    def read(self) -> Spent:
        usage, hours = self.door.usage, self.door.hours * self.engine.accelerators
        dollars = _dollars(self._tokens, self._hour, usage, hours)
        return Spent(model=self.engine.model, usage=usage, dollars=dollars, gpu_hours=hours)


def cost(prices: Prices, engine: Engine | None, usage: Usage, gpu_hours: float | None) -> float | None:
    """US dollars for tokens of an API and hours of GPUs, as far as there is a price; None where there is none."""
    return _dollars(engine.token_price(prices) if engine else None, prices.gpu_hour(), usage, gpu_hours)


def _dollars(tokens: TokenPrice | None, hour: float | None, usage: Usage, gpu_hours: float | None) -> float | None:
    return known(
        (
            tokens.dollars(usage.prompt_tokens, usage.completion_tokens) if tokens else None,
            hour * gpu_hours if hour is not None and gpu_hours else None,
        )
    )
