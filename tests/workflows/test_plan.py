"""What the first and the last job of pipeline.yml compute: the jobs of each stage, and what became of them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pipelines import hub, recipes, workflow
from pipelines.errors import RecipeError
from pipelines.hub import Hub
from pipelines.recipe import STAGES
from pipelines.run import Run
from pipelines.screen import Screen

DIGEST = "sha256:" + "0123456789ab" * 5 + "0123"
NAMES = (
    "judge",
    "trainer",
    *(f"{image}-{server}" for image in ("generator", "evaluator") for server in ("tgi", "vllm")),
)
TWO_MACHINES = ("train.accelerate=fsdp2", "train.processes=8", "train.machines=2")
IMAGES = {name: f"ghcr.io/some/fork/{name}@{DIGEST}" for name in NAMES}


@pytest.fixture
def connected(hub_server: str) -> Hub:
    return hub.connect("acme", reading=True)


def settings(**changed: Any) -> workflow.Settings:
    fields: dict[str, Any] = {"shards": 1, "cpu_runner": "small", "gpu_runner": "large", "images": IMAGES}
    return workflow.Settings(**{**fields, "trusted_publishers": False, **changed})


def planned(hub: Hub, recipe: str = "russian", overrides: Sequence[str] = (), **changed: Any) -> workflow.Jobs:
    run = Run(recipes.load(recipe, overrides), hub, Screen())
    return workflow.plan(run, run.recipe.stages, settings(**changed))


def test_a_stage_that_trains_or_starts_a_server_gets_a_gpu_and_its_guard(connected: Hub) -> None:
    jobs = planned(connected, "lightblue")
    where = {stage: (these[0].runner, these[0].environment) for stage, these in jobs.items()}
    small, large = ("small", "cpu"), ("large", "gpu")
    assert where == {
        "prompts": small, "generate": large, "judge": small, "choose": small, "train": large, "evaluate": large,
    }  # fmt: skip


def test_each_stage_runs_in_the_image_that_holds_its_server(connected: Hub) -> None:
    images = {stage: these[0].image for stage, these in planned(connected, "russian").items()}
    assert images == {
        "prompts": IMAGES["evaluator-vllm"],  # which translates with a server of its own
        "generate": IMAGES["generator-vllm"],
        "judge": IMAGES["evaluator-vllm"],
        "choose": IMAGES["judge"],
        "train": IMAGES["trainer"],
        "evaluate": IMAGES["evaluator-vllm"],
    }
    assert planned(connected, "lightblue")["generate"][0].image == IMAGES["generator-tgi"]


def test_a_recipe_that_no_image_can_run_is_refused_but_for_the_runners_own_python(connected: Hub) -> None:
    with pytest.raises(RecipeError, match="which no image holds"):
        planned(connected, "demo")
    jobs = planned(connected, "demo", images={})
    assert {job.image for these in jobs.values() for job in these} == {"none"}
    extras = {stage: these[0].extra for stage, these in jobs.items()}
    assert extras == {
        "prompts": "judge", "generate": "generator", "judge": "judge", "choose": "judge", "train": "trainer",
        "evaluate": "evaluator",
    }  # fmt: skip


def test_the_shards_of_a_stage_are_distinct_and_only_some_stages_have_any(connected: Hub) -> None:
    jobs = planned(connected, shards=3)
    assert {stage: [job.shard for job in these] for stage, these in jobs.items() if len(these) > 1} == {
        stage: ["1/3", "2/3", "3/3"] for stage in ("generate", "judge", "evaluate")
    }
    assert {job.shard for stage in ("prompts", "choose", "train") for job in jobs[stage]} == {""}


def test_the_machines_of_one_training_get_a_rank_each_and_the_address_of_the_first(connected: Hub) -> None:
    runners = ("node-a=10.0.0.1", "node-b")
    (first, second) = planned(connected, overrides=TWO_MACHINES, train_runners=runners)["train"]
    assert (first.runner, first.rank, first.address) == ("node-a", "0", "10.0.0.1")
    assert (second.runner, second.rank, second.address) == ("node-b", "1", "10.0.0.1")
    assert {(job.rank, job.address) for job in planned(connected)["train"]} == {("", "")}


def test_a_reinforcement_gets_a_job_like_a_training_where_the_recipe_has_that_section(connected: Hub) -> None:
    assert "reinforce" not in planned(connected)
    (job,) = planned(connected, overrides=["reinforce={}"], trusted_publishers=True)["reinforce"]
    assert (job.image, job.runner, job.environment, job.rank) == (IMAGES["trainer"], "large", "gpu", "")
    assert job.publisher == "acme/r1-russian-DeepSeek-R1-Distill-Qwen-7B-reinforced"
    several = ["reinforce={accelerate: ddp, processes: 8, machines: 2}"]
    jobs = planned(connected, overrides=several, train_runners=("node-a=10.0.0.1", "node-b"))
    assert [(job.runner, job.rank) for job in jobs["reinforce"]] == [("node-a", "0"), ("node-b", "1")]
    assert [job.rank for job in jobs["train"]] == [""]
    with pytest.raises(RecipeError, match=r"reinforce\.machines is 2: name 2 runners"):
        planned(connected, overrides=several)


@pytest.mark.parametrize("runners", [(), ("node-a=10.0.0.1",), ("node-a", "node-b=10.0.0.1"), ("a=x", "b", "c")])
def test_a_training_on_several_machines_without_a_runner_for_each_is_refused(
    connected: Hub, runners: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError, match=r"name 2 runners in train-runners, the first .* as in node-a=10"):
        planned(connected, overrides=TWO_MACHINES, train_runners=runners)
    with pytest.raises(RecipeError, match=r"set train\.machines in the recipe"):
        planned(connected, train_runners=("node-a=10.0.0.1", "node-b"))


def test_what_a_job_publishes_as_is_the_very_repo_that_it_writes(connected: Hub) -> None:
    jobs = planned(connected, trusted_publishers=True)
    assert jobs["choose"][0].publisher == "datasets/acme/r1-russian"
    assert jobs["train"][0].publisher == "acme/r1-russian-DeepSeek-R1-Distill-Qwen-7B"
    assert {job.publisher for these in planned(connected).values() for job in these} == {""}


def test_the_outputs_are_lines_of_json_for_a_matrix(connected: Hub) -> None:
    lines = dict(line.split("=", 1) for line in workflow.outputs(planned(connected, shards=2)).splitlines())
    assert list(lines) == [stage for stage in STAGES if stage != "reinforce"]
    assert [job["shard"] for job in json.loads(lines["judge"])] == ["1/2", "2/2"]


def test_the_overview_names_the_digest_the_guard_and_the_repo_of_each_stage(connected: Hub) -> None:
    run = Run(recipes.load("lightblue", limit=5), connected, Screen())
    text = workflow.overview(run, workflow.plan(run, run.recipe.stages, settings(shards=2)))
    assert "| generate | 2 | `large` | `generator-tgi@0123456789ab` |" in text
    assert f"({connected.api.endpoint}/datasets/acme/r1-multilingual-candidates)" in text
    assert "guards generate, train, evaluate" in text
    assert "at most 5" in text


def test_the_report_of_a_run_that_failed_says_what_to_press(connected: Hub, name: str) -> None:
    run = Run(recipes.load("russian", [f"name={name}"]), connected, Screen())
    results = {
        "plan": "success",
        "prompts": "success",
        "generate": "failure",
        "judge": "skipped",
        "evaluate": "skipped",
    }
    text = workflow.report(run, {job: {"result": result} for job, result in results.items()})
    assert "| generate | failure | nothing yet |" in text
    assert "**generate** did not come to its end" in text
    assert "Re-run failed jobs" in text
    assert "## Results" not in text
