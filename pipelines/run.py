"""What every stage is given: the recipe, the Hub, a screen to report to, and its share of the work; and how the repos
of a run are named."""

import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pipelines.errors import RecipeError
from pipelines.hub import Hub, Kind
from pipelines.recipe import Recipe, Stage
from pipelines.screen import Screen


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` equal parts of a stage's work; `index` counts from 1. What belongs to it depends on nothing else."""

    index: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        found = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", text)
        if not found or int(found[1]) > int(found[2]):
            raise RecipeError(f"--shard {text}: give it as I/N, such as 2/4, with I from 1 to N")
        return cls(int(found[1]), int(found[2]))

    def holds(self, group: str) -> bool:
        return self.of == 1 or zlib.crc32(group.encode()) % self.of == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def cache(part: str) -> Path:
    """A folder of this machine, for what a later run can use: in THINKIN_CACHE, or else in the user's cache."""
    folder = os.environ.get("THINKIN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "thinkin")
    return Path(folder).expanduser().absolute() / part


@dataclass(frozen=True, slots=True)
class Run:
    recipe: Recipe
    hub: Hub
    screen: Screen
    shard: Shard = field(default_factory=Shard)

    @property
    def prompts(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-prompts")

    @property
    def candidates(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-candidates")

    @property
    def judged(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-judged")

    @property
    def chosen(self) -> str:
        return self.hub.repo(self.recipe.name)

    @property
    def model(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-{self.recipe.train.student.rsplit('/', 1)[-1]}")

    @property
    def reinforced(self) -> str:
        return f"{self.model}-reinforced"

    @property
    def rollouts(self) -> str:
        """What the model wrote while it was reinforced."""
        return self.hub.repo(f"{self.recipe.name}-rollouts")

    @property
    def results(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-results")

    def written(self, stage: Stage) -> tuple[str, Kind]:
        """The repo that a stage writes."""
        repos: dict[Stage, tuple[str, Kind]] = {
            "prompts": (self.prompts, "dataset"),
            "generate": (self.candidates, "dataset"),
            "judge": (self.judged, "dataset"),
            "choose": (self.chosen, "dataset"),
            "train": (self.model, "model"),
            "reinforce": (self.reinforced, "model"),
            "evaluate": (self.results, "dataset"),
        }
        return repos[stage]
