"""The recipe's cap on what all its stages take together, and when a stage has to stop for it.

A stage counts what it spends itself, and what the facts on the Hub say of the other stages, of earlier runs and, as of
the last commit, of other shards. What is under way is counted with what the average sample took, so that a run ends at
the cap and not beyond it.
"""

from collections.abc import Callable, Iterable, Mapping

from pipelines.errors import BudgetSpent, RecipeError
from pipelines.facts import Spent
from pipelines.prices import place
from pipelines.recipe import Stage
from pipelines.run import Run

Taken = Callable[[], tuple[list[Spent], list[Spent], float]]
"""What this process has spent, what the whole stage has, and the stage's seconds at work."""
UNITS = {"dollars": "US dollars", "tokens": "tokens", "gpu_hours": "GPU hours", "hours": "hours"}


class Cap:
    def __init__(self, run: Run, stage: Stage, taken: Taken) -> None:
        self.run, self._taken = run, taken
        self.stage: Stage = stage
        self.limits: Mapping[str, float] = run.recipe.budget.model_dump(exclude_none=True)
        self.reached = ""
        """The limit for which an item was turned away."""
        self._others: Mapping[str, float] = {}
        self._before: Mapping[str, float] | None = None
        """What this process had spent before the first item: the probe's requests."""
        self._busy = self._done = 0

    def open(self) -> None:
        """RecipeError where the budget caps money, and something that this stage asks has no price."""
        if not self.limits:
            return
        known = self.run.recipe.prices.complete()
        for engine in self.run.recipe.engines_of(self.stage) if "dollars" in self.limits else ():
            if engine.accelerators and not known.gpu:
                raise RecipeError(
                    f"budget.dollars needs the price of a GPU: name one of {_names(known.gpus)} in prices.gpu"
                )
            if engine.url and not engine.accelerators and engine.token_price(known) is None:
                name = place(engine.url, engine.model)
                raise RecipeError(
                    f"budget.dollars needs a price: add prices.models.{name}, with 0 for prompt and completion where "
                    "it costs nothing"
                )
        self._others = _sum(_told(self.run, stage) for stage in self.run.recipe.stages if stage != self.stage)

    def admits(self) -> bool:
        """Whether there is room for one more item beside those under way."""
        if over := self.over():
            self.reached = self.reached or over
            return False
        self._busy += 1
        return True

    def left(self) -> None:
        self._busy, self._done = self._busy - 1, self._done + 1

    def over(self) -> str:
        """The limit that is reached, with what is under way; empty where none is."""
        if not self.limits:
            return ""
        session, stage, seconds = self._taken()
        mine, total = amounts(session, 0.0), _sum((self._others, amounts(stage, seconds)))
        self._before = self._before or mine
        for name, limit in self.limits.items():
            each = (mine[name] - self._before[name]) / self._done if self._done and name != "gpu_hours" else 0.0
            if total[name] + each * self._busy >= limit:
                return name
        return ""

    def spent(self, limit: str) -> BudgetSpent:
        """That this limit is reached, for a person."""
        _, stage, seconds = self._taken()
        total = _sum((self._others, amounts(stage, seconds)))[limit]
        return BudgetSpent(
            f"the budget is used up: {_amount(limit, total)} of {_amount(limit, self.limits[limit])} {UNITS[limit]}; "
            f"what was made is published. Raise budget.{limit}, and the same command goes on from there"
        )


def amounts(spent: Iterable[Spent], seconds: float) -> dict[str, float]:
    found = list(spent)
    return {
        "dollars": sum(one.dollars or 0.0 for one in found),
        "tokens": float(sum(one.usage.prompt_tokens + one.usage.completion_tokens for one in found)),
        "gpu_hours": sum(one.gpu_hours or 0.0 for one in found),
        "hours": seconds / 3600,
    }


def told(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{_amount(name, limit)} {UNITS[name]}" for name, limit in limits.items())


def _told(run: Run, stage: Stage) -> dict[str, float]:
    """What another stage took, as its facts say."""
    repo, kind = run.written(stage)
    snapshot = run.hub.snapshot(repo, kind, stage)
    facts = snapshot.facts if snapshot else None
    return amounts(facts.spent, facts.seconds) if facts else amounts((), 0.0)


def _sum(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found = list(several)
    return {name: sum(one.get(name, 0.0) for one in found) for name in UNITS}


def _amount(name: str, value: float) -> str:
    return f"{value:,.0f}" if name == "tokens" else f"{value:,.4g}"


def _names(known: Iterable[str]) -> str:
    return ", ".join(sorted(known))
