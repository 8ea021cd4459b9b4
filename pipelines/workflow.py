"""What the workflows under .github/workflows ask: which jobs make a run, and what came of them.

python -m pipelines github plan RECIPE      the jobs of each stage, for a matrix, and a table for people
python -m pipelines github report RECIPE    what the jobs came to, what is on the Hub, the result table
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pipelines import launch
from pipelines.errors import RecipeError
from pipelines.plan.overview import markdown
from pipelines.recipe import STAGES, Recipe, Stage
from pipelines.run import Run

SHARDED: tuple[Stage, ...] = ("generate", "judge", "evaluate")
"""Stages that several runners can share."""
WITH_SERVER = ("generator", "evaluator")
"""Images that there are with each server, as in `generator-vllm`."""
DEFAULT_SERVER = "vllm"
"""In the image of a stage that asks a server elsewhere, and starts none."""
NO_IMAGE = "none"
"""In place of an image: the stage runs with the runner's own Python."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person who started the workflow chose, and what is set for the repository."""

    shards: int
    cpu_runner: str
    gpu_runner: str
    images: Mapping[str, str]
    """NAME@sha256:DIGEST of each image by its short name; none at all for the runners' own Python."""
    trusted_publishers: bool
    train_runners: tuple[str, ...] = ()
    """A runner for each machine of a training on several; the first with its address, as in node-a=10.0.0.1."""


@dataclass(frozen=True, slots=True)
class Job:
    """What stage.yml is told about one job."""

    shard: str
    """I/N; empty where one runner does it all."""
    image: str
    extra: str
    """Of pyproject.toml: what has to be installed on the runner."""
    runner: str
    environment: Literal["cpu", "gpu"]
    repo: str
    publisher: str
    """What HF_OIDC_RESOURCE is to be; empty where HF_TOKEN is used."""
    rank: str = ""
    """Of its machine among those that train together, from 0 on; empty where one is enough."""
    address: str = ""
    """At which those reach the first one."""


Jobs = Mapping[Stage, Sequence[Job]]


def plan(run: Run, stages: Sequence[Stage], settings: Settings) -> Jobs:
    return {stage: _jobs(run, stage, settings) for stage in stages}


def _jobs(run: Run, stage: Stage, settings: Settings) -> list[Job]:
    repo, kind = run.written(stage)
    gpu = needs_gpu(run.recipe, stage)
    parts = settings.shards if stage in SHARDED else 1
    job = Job(
        shard="",
        image=_image(run.recipe, stage, settings.images),
        extra="launch" if settings.images else launch.image_for(stage, serves=False),
        runner=settings.gpu_runner if gpu else settings.cpu_runner,
        environment="gpu" if gpu else "cpu",
        repo=repo,
        publisher=f"{'datasets/' if kind == 'dataset' else ''}{repo}" if settings.trusted_publishers else "",
    )
    if run.recipe.machines(stage) > 1:
        return _together(job, stage, run.recipe.machines(stage), settings.train_runners)
    if settings.train_runners and all(run.recipe.machines(trained) == 1 for trained in launch.TRAINED):
        raise RecipeError("train-runners is for several machines: set train.machines in the recipe, or leave it empty")
    return [replace(job, shard=f"{number + 1}/{parts}" if parts > 1 else "") for number in range(parts)]


def _together(job: Job, stage: Stage, machines: int, runners: Sequence[str]) -> list[Job]:
    """GitHub tells no runner where another one is: the address of the first stands behind its label."""
    named = [runner.partition("=") for runner in runners]
    if len(named) != machines or not named[0][2]:
        raise RecipeError(
            f"{stage}.machines is {machines}: name {machines} runners in train-runners, the first by a label of its "
            "own with the address at which the others reach it, as in node-a=10.0.0.1,node-b"
        )
    address = named[0][2]
    return [replace(job, runner=label, rank=str(rank), address=address) for rank, (label, _, _) in enumerate(named)]


def needs_gpu(recipe: Recipe, stage: Stage) -> bool:
    """Whether it trains, or starts a server."""
    return stage in launch.TRAINED or any(not engine.url for engine in recipe.engines_of(stage))


def _image(recipe: Recipe, stage: Stage, images: Mapping[str, str]) -> str:
    if not images:
        return NO_IMAGE
    keys = {engine.api_key: "" for engine in recipe.engines_of(stage) if engine.api_key}
    task = launch.specify(stage, recipe, "", {**keys, "NODE_RANK": "0", "MASTER_ADDR": "-"})  # nothing is run here
    name = f"{task.image}-{task.server or DEFAULT_SERVER}" if task.image in WITH_SERVER else task.image
    if name not in images:
        raise RecipeError(f"there is no image {name}; there are: {', '.join(sorted(images))}")
    return images[name]


def outputs(jobs: Jobs) -> str:
    """A line for each stage, as GITHUB_OUTPUT takes them."""
    return "".join(f"{stage}={json.dumps([asdict(job) for job in these])}\n" for stage, these in jobs.items())


def overview(run: Run, jobs: Jobs) -> str:
    """The plan as Markdown: what will run where, and what it will write."""
    recipe = run.recipe
    limit = f", at most {recipe.limit} prompts and benchmark items for each" if recipe.limit else ""
    lines = [f"## Plan of {recipe.name}", "", f"Languages: {', '.join(recipe.languages)}{limit}.", ""]
    lines += ["| stage | jobs | runner | image | writes |", "|---|---:|---|---|---|"]
    for stage, these in jobs.items():
        job = these[0]
        runners = ", ".join(dict.fromkeys(f"`{job.runner}`" for job in these))
        lines.append(f"| {stage} | {len(these)} | {runners} | {_short(job.image)} | {_link(run, stage)} |")
    if waiting := [stage for stage, these in jobs.items() if these[0].environment == "gpu"]:
        lines += ["", f"The environment `gpu` guards {', '.join(waiting)}: its reviewers are asked before each."]
    lines += ["", "### What it will cost", "", markdown(run, tuple(jobs))]
    return "\n".join(lines) + "\n"


def _short(image: str) -> str:
    """An image's name without its registry, and enough of the digest to recognise it."""
    name, _, digest = image.rpartition("/")[2].partition("@sha256:")
    return f"`{name}@{digest[:12]}`" if digest else "the runner's own Python"


def _link(run: Run, stage: Stage) -> str:
    repo, kind = run.written(stage)
    return f"[{repo}]({run.hub.address(repo, kind)})"


def report(run: Run, needs: Mapping[str, Mapping[str, Any]]) -> str:
    """What became of a run, as Markdown. `needs` is GitHub's context of that name: each job's result."""
    lines = [f"## What became of {run.recipe.name}", "", "| stage | jobs | on the Hub |", "|---|---|---|"]
    lines += [f"| {stage} | {needs[stage]['result']} | {_state(run, stage)} |" for stage in STAGES if stage in needs]
    if failed := [stage for stage in STAGES if needs.get(stage, {}).get("result") in ("failure", "cancelled")]:
        lines += [
            "",
            f"**{failed[0]}** did not come to its end: the log of its job tells why. Once that is mended, press "
            "**Re-run failed jobs**: what was published stays, the stage goes on there, and those behind it follow.",
        ]
    if needs.get("evaluate", {}).get("result") == "success":
        lines += ["", "## Results", "", _table(run)]
    return "\n".join(lines) + "\n"


def _state(run: Run, stage: Stage) -> str:
    repo, kind = run.written(stage)
    snapshot = run.hub.snapshot(repo, kind, stage)
    if snapshot is None or snapshot.facts is None:
        return "nothing yet"
    failed = f", {snapshot.facts.failures} samples failed" if snapshot.facts.failures else ""
    return f"{_link(run, stage)}: {'complete' if snapshot.facts.complete else 'not finished'}{failed}"


def _table(run: Run) -> str:
    facts = run.hub.need(run.results, "dataset", "evaluate").facts
    return str(facts.details.get("table", "")) if facts else ""
