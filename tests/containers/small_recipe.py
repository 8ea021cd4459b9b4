"""The recipe that the images run: small, its teacher on this machine, its student served inside the container."""

from importlib import import_module
from pathlib import Path
from typing import Any

import docker_engine
import yaml
from test_pipeline import config

from pipelines import recipes
from pipelines.facts import Facts
from pipelines.hub import Hub
from pipelines.recipe import STAGES, Stage
from pipelines.run import Run
from pipelines.screen import Screen

IMAGES: dict[Stage, str] = {"generate": "generator", "judge": "judge", "train": "trainer", "evaluate": "evaluator"}
"""A stage of each image."""


def write(folder: Path, name: str, url: str, **changed: Any) -> str:
    """The file; `changed` are sections, merged into those that are there."""
    tree: dict[str, Any] = config(url)
    tree["name"] = name
    tree["engines"]["student"] = {"kind": "vllm", "model": "tiny/student", "parallel": 4, "context": 512}
    for section, keys in changed.items():
        tree[section] = _merged(tree.get(section), keys)
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), "utf-8")
    return str(file)


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def opened(recipe: str, connected: Hub) -> Run:
    return Run(recipes.load(recipe), connected, Screen())


def run_before(stage: Stage, run: Run) -> None:
    """Run all stages before this one, in this process and not in images."""
    for before in STAGES[: STAGES.index(stage)]:
        import_module(f"pipelines.stages.{before}").run(run)


def name_a_trained_model(run: Run) -> None:
    """As if train had made one, for an evaluation that asks a scripted model."""
    made = Facts(stage="train", recipe=run.recipe.name, digest="", complete=True, inputs=())
    run.hub.create(run.model, "model", private=False)
    run.hub.publish(
        run.model, "model", "a model", {"config.json": b"{}", "run/train.json": made.model_dump_json().encode()}
    )


def facts(run: Run, stage: Stage, revision: str | None = None) -> Facts | None:
    snapshot = run.hub.snapshot(*run.written(stage), stage, revision)
    return snapshot.facts if snapshot else None


def rows(run: Run, stage: Stage) -> int:
    snapshot = run.hub.snapshot(*run.written(stage), stage)
    assert snapshot
    return sum(len(ids) for _, ids in run.hub.columns(snapshot, snapshot.parts("data"), ["id"]))


def containers() -> list[str]:
    """Those that `launch` has started, and that are still there."""
    return docker_engine.docker("ps", "--all", "--quiet", "--filter", "label=thinkin.stage").stdout.split()
