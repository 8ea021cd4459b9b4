"""What a training has taken so far, its earlier sessions with it as far as a checkpoint tells of them."""

import time
from dataclasses import dataclass, field

from pipelines.facts import Facts, Spent, Usage
from pipelines.flow.spending import cost
from pipelines.prices import Prices


@dataclass
class Spending:
    """`gpus` is how many this session trains on, once its processes have said so."""

    student: str
    prices: Prices
    before: Facts | None = None
    gpus: int = 0
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall-clock time of all sessions."""
        return self._session + (self.before.seconds if self.before else 0.0)

    def read(self) -> Spent:
        hours = self._session / 3600 * self.gpus
        hours += sum(one.gpu_hours or 0.0 for one in self.before.spent) if self.before else 0.0
        return Spent(model=self.student, dollars=cost(self.prices.complete(), None, Usage(), hours), gpu_hours=hours)

    @property
    def _session(self) -> float:
        return time.monotonic() - self._started
