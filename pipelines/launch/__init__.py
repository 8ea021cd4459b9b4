"""One stage as a container has to run it: written down once, for every place that can run it.

    task = specify("generate", recipe, token)
    docker.run(task, ...)   a container on this machine
    jobs.run(task, ...)     a job on Hugging Face's machines

The recipe travels as text, with every override in place, so that a container needs no file of this machine.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pipelines.errors import RecipeError, StageError
from pipelines.recipe import Engine, Recipe, Stage, dump
from pipelines.training.launch import place

Image = Literal["judge", "generator", "trainer", "evaluator"]

TRAINED: tuple[Stage, ...] = ("train", "reinforce")
"""The stages that need a GPU of their own, and the trainer's image."""

SERVED = ("tgi", "vllm")
"""The kinds of engine that an image can hold; each is also the name of its build stage in the Dockerfiles."""
HANDED_ON = ("HF_ENDPOINT", "HF_HUB_DISABLE_XET")
"""Variables that mean in the container what they mean here."""
TOGETHER = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "NCCL_SOCKET_IFNAME")
"""Variables that tell a machine its place among those that train together."""
PUBLISHER = (
    "HF_OIDC_RESOURCE",
    "GITHUB_ACTIONS",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""Variables that GitHub's runner and stage.yml set where a job publishes as a Trusted Publisher."""


@dataclass(frozen=True, slots=True)
class Task:
    stage: Stage
    recipe: str
    """Its name."""
    image: Image
    server: str | None
    """The engine that the stage starts inside its container, if any: it decides what the image is built on."""
    command: tuple[str, ...]
    """The whole argv, for those who ignore an image's entry point."""
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    gpu: bool
    local: tuple[str, ...]
    """Addresses on this machine's loopback that it talks to: model servers, the embedded Hub."""
    together: bool
    """Whether it trains together with other machines, which have to reach this one."""

    @property
    def labels(self) -> dict[str, str]:
        return {"thinkin.stage": self.stage, "thinkin.recipe": self.recipe}


def specify(
    stage: Stage,
    recipe: Recipe,
    token: str,
    environment: Mapping[str, str] = os.environ,
    shard: str | None = None,
) -> Task:
    """What it takes to run this stage, or the part `shard` of it, such as 2/4.

    Raises RecipeError where no image could, StageError where a variable of the environment is missing.
    """
    if stage == "train" and recipe.train.template and Path(recipe.train.template).is_file():
        raise RecipeError(f"train.template: a container has no file {recipe.train.template}; name a template of TRL")
    if stage == "judge" and recipe.calibration and recipe.calibration.file:
        raise RecipeError(
            f"calibration.file: a container has no file {recipe.calibration.file}; put it on the Hub, and name its `id`"
        )
    engines = recipe.engines_of(stage)
    started = {engine.kind for engine in engines if not engine.url}
    together = recipe.machines(stage) > 1
    if together:
        place(recipe.machines(stage), environment, stage)  # which refuses what is incomplete
    names = (*HANDED_ON, *(TOGETHER if together else ()))
    handed_on = {name: environment[name] for name in names if name in environment}
    addresses = (handed_on.get("HF_ENDPOINT"), *(engine.url for engine in engines))
    return Task(
        stage=stage,
        recipe=recipe.name,
        image=image_for(stage, bool(started)),
        server=_server(stage, started),
        command=("thinkin", stage, *(("--shard", shard) if shard else ())),
        environment={**handed_on, "THINKIN_RECIPE": dump(recipe)},
        secrets={**_identity(token, environment), **_keys(engines, environment)},
        gpu=stage in TRAINED or bool(started),
        local=tuple(address for address in addresses if address and _is_loopback(address)),
        together=together,
    )


def image_for(stage: Stage, serves: bool) -> Image:
    """The image of a stage that starts a server in its container, or of one that does not."""
    if stage in TRAINED:
        return "trainer"
    if stage == "generate":
        return "generator"
    # the evaluator is the judge beside a server
    return "evaluator" if stage == "evaluate" or serves else "judge"


def _server(stage: Stage, started: Iterable[str]) -> str | None:
    kinds = sorted(started)
    for kind in kinds:
        if kind not in SERVED:
            raise RecipeError(
                f"{stage} starts an engine of kind {kind}, which no image holds: take {' or '.join(SERVED)}, "
                "give the url of one that runs already, or run the stage without a container"
            )
    if len(kinds) > 1:
        raise RecipeError(f"{stage} starts engines of kinds {' and '.join(kinds)}: an image holds one of them")
    return kinds[0] if kinds else None


def _identity(token: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What proves to the Hub who we are: a token, or what a Trusted Publisher gets its own with."""
    if environment.get("HF_OIDC_RESOURCE"):
        return {name: environment[name] for name in PUBLISHER if name in environment}
    return {"HF_TOKEN": token}


def _keys(engines: Iterable[Engine], environment: Mapping[str, str]) -> dict[str, str]:
    names = {engine.api_key for engine in engines if engine.api_key}
    for name in names - environment.keys():
        raise StageError(f"the environment variable {name} is not set: an engine of the recipe needs its key")
    return {name: environment[name] for name in names}


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
