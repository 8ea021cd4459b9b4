"""What every stage is given: the recipe, the Hub, and a screen to report to; and how the repos of a run are named."""

from dataclasses import dataclass

from pipelines.hub import Hub
from pipelines.recipe import Recipe
from pipelines.screen import Screen


@dataclass(frozen=True, slots=True)
class Run:
    recipe: Recipe
    hub: Hub
    screen: Screen

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
    def results(self) -> str:
        return self.hub.repo(f"{self.recipe.name}-results")
