"""What the workflows under .github/workflows ask: which jobs make a run, and what came of them.

python -m pipelines github plan RECIPE      the jobs of each stage, for a matrix, and a table for people
python -m pipelines github report RECIPE    what the jobs came to, what is on the Hub, the result table
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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


Jobs = Mapping[Stage, Sequence[Job]]


def plan(run: Run, stages: Sequence[Stage], settings: Settings) -> Jobs:
    return {stage: _jobs(run, stage, settings) for stage in stages}


def _jobs(run: Run, stage: Stage, settings: Settings) -> list[Job]:
    repo, kind = run.written(stage)
    gpu = needs_gpu(run.recipe, stage)
    parts = settings.shards if stage in SHARDED else 1
    publisher = f"{'datasets/' if kind == 'dataset' else ''}{repo}" if settings.trusted_publishers else ""
    return [
        Job(
            shard=f"{number + 1}/{parts}" if parts > 1 else "",
            image=_image(run.recipe, stage, settings.images),
            extra="launch" if settings.images else launch.image_for(stage, serves=False),
            runner=settings.gpu_runner if gpu else settings.cpu_runner,
            environment="gpu" if gpu else "cpu",
            repo=repo,
            publisher=publisher,
        )
        for number in range(parts)
    ]


def needs_gpu(recipe: Recipe, stage: Stage) -> bool:
    """Whether it trains, or starts a server."""
    return stage == "train" or any(not engine.url for engine in recipe.engines_of(stage))


def _image(recipe: Recipe, stage: Stage, images: Mapping[str, str]) -> str:
    if not images:
        return NO_IMAGE
    keys = {engine.api_key: "" for engine in recipe.engines_of(stage) if engine.api_key}  # nothing is run here
    task = launch.specify(stage, recipe, "", keys)
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
        lines.append(f"| {stage} | {len(these)} | `{job.runner}` | {_short(job.image)} | {_link(run, stage)} |")
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
    if any(job["result"] not in ("success", "skipped") for job in needs.values()):
        lines += ["", "Press **Re-run failed jobs**: what was published stays, and each stage goes on from there."]
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
