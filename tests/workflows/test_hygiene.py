"""What GitHub would enforce and act does not, and what nobody enforces: read off the workflow files."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml

from pipelines.__main__ import app
from pipelines.launch import SERVED, Image
from pipelines.recipe import STAGES
from pipelines.workflow import SHARDED, WITH_SERVER

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = {path.stem: path for path in (ROOT / ".github/workflows").glob("*.yml")}
ACTIONS = {path.parent.name: path for path in (ROOT / ".github/actions").glob("*/action.yml")}
HOSTED = "ubuntu-latest"


def tree(name: str) -> dict[str, Any]:
    text = (WORKFLOWS | ACTIONS)[name].read_text("utf-8")
    return yaml.safe_load(re.sub(r"^on:", "'on':", text, flags=re.MULTILINE))  # YAML 1.1 reads on as true


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return tree(name)["jobs"]


def steps(name: str) -> Iterator[dict[str, Any]]:
    whole = tree(name)
    for job in (*whole.get("jobs", {}).values(), whole.get("runs", {})):
        yield from job.get("steps", ())


every_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))
every_file = pytest.mark.parametrize("name", sorted(WORKFLOWS | ACTIONS))


def test_the_workflows_are_those_that_the_readme_tells_of() -> None:
    assert set(WORKFLOWS) == {"ci", "images", "stage", "pipeline"}


# --- hygiene


@every_workflow
def test_nothing_is_permitted_at_the_top_and_each_job_says_what_it_needs(name: str) -> None:
    assert tree(name)["permissions"] == {}
    assert all(isinstance(job.get("permissions"), dict) for job in jobs(name).values())


def test_only_the_jobs_that_need_it_may_write() -> None:
    writing = {
        (name, job, scope)
        for name in WORKFLOWS
        for job, told in jobs(name).items()
        for scope, level in told["permissions"].items()
        if level == "write" and scope != "id-token"
    }
    assert writing == {("images", "image", "packages"), ("images", "image", "attestations")}


def test_only_stages_and_images_may_prove_who_they_are() -> None:
    proving = {
        (name, job) for name in WORKFLOWS for job, told in jobs(name).items() if "id-token" in told["permissions"]
    }
    assert proving == {("images", "image"), ("stage", "stage"), *(("pipeline", stage) for stage in STAGES)}


@every_file
def test_actions_of_others_are_pinned_by_commit_with_their_version_beside_it(name: str) -> None:
    text = (WORKFLOWS | ACTIONS)[name].read_text("utf-8")
    used = re.findall(r"uses: (.*)", text)
    ours = [line for line in used if line.startswith("./.github/")]
    others = [line for line in used if line not in ours]
    assert len(used) == len(ours) + len(others)
    assert [line for line in others if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@every_file
def test_no_expression_stands_in_a_script(name: str) -> None:
    """A value that is put into a script's text is run as a part of it; out of the environment it is only text."""
    assert [step["run"] for step in steps(name) if "${{" in step.get("run", "")] == []


@every_workflow
def test_a_pull_request_never_reaches_a_runner_of_ours_nor_a_secret(name: str) -> None:
    triggers = set(tree(name)["on"])
    assert triggers <= {"push", "pull_request", "workflow_dispatch", "workflow_call"}
    if "pull_request" in triggers:
        assert {job["runs-on"] for job in jobs(name).values()} == {HOSTED}
        assert "secrets." not in WORKFLOWS[name].read_text("utf-8")


@every_workflow
def test_secrets_are_handed_on_by_name(name: str) -> None:
    used = set(re.findall(r"\bsecrets[.\[][\w'\"]*", WORKFLOWS[name].read_text("utf-8")))
    assert used <= {"secrets.HF_TOKEN", "secrets.OPENAI_API_KEY"}
    assert "inherit" not in [job.get("secrets") for job in jobs(name).values()]


@every_file
def test_a_secret_reaches_a_step_only_through_its_environment(name: str) -> None:
    for step in steps(name):
        rest = {key: value for key, value in step.items() if key != "env"}
        assert "secrets." not in str(rest)


@every_workflow
def test_a_checkout_leaves_no_credentials_behind(name: str) -> None:
    checkouts = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_workflow
def test_every_job_ends_at_a_time_of_ours(name: str) -> None:
    assert all("timeout-minutes" in job for job in jobs(name).values() if "uses" not in job)


# --- stage.yml and pipeline.yml


def test_a_stage_is_guarded_by_its_environment_and_alone_on_its_part_of_the_repo() -> None:
    job = jobs("stage")["stage"]
    assert job["environment"] == "${{ inputs.environment }}"
    assert job["concurrency"] == {
        "group": "${{ inputs.repo }} ${{ inputs.shard }}${{ inputs.rank }}",
        "cancel-in-progress": False,
    }


def test_whoever_calls_a_stage_gives_all_that_it_asks_for_and_nothing_else() -> None:
    asked = tree("stage")["on"]["workflow_call"]
    required = {key for key, told in asked["inputs"].items() if told.get("required")}
    for stage in STAGES:
        call = jobs("pipeline")[stage]
        assert call["uses"] == "./.github/workflows/stage.yml"
        assert required <= call["with"].keys() <= asked["inputs"].keys()
        assert call["secrets"].keys() <= asked["secrets"].keys()
        assert call["permissions"] == jobs("stage")["stage"]["permissions"]
        assert call["with"]["stage"] == stage


def test_the_form_asks_for_what_the_readme_says_with_the_stages_as_choices() -> None:
    form = tree("pipeline")["on"]["workflow_dispatch"]["inputs"]
    assert set(form) == {
        "recipe", "from", "to", "languages", "limit", "shards", "runner", "gpu-runner", "train-runners", "namespace",
        "dry-run",
    }  # fmt: skip
    for name, default in (("from", STAGES[0]), ("to", STAGES[-1])):
        assert form[name] == form[name] | {"type": "choice", "options": list(STAGES), "default": default}
    assert form["dry-run"]["type"] == "boolean"
    required = {name for name, told in form.items() if told.get("required")}
    assert required == {"recipe", "from", "to", "shards", "runner", "gpu-runner"}
    assert all(form[name].get("default") for name in required)
    assert all(told["description"] for told in form.values())


def test_each_stage_waits_for_the_one_before_it_and_for_the_plan() -> None:
    waits = {stage: jobs("pipeline")[stage]["needs"] for stage in STAGES}
    assert waits == {
        stage: ["plan", before] if before else ["plan"] for before, stage in zip(("", *STAGES), STAGES, strict=False)
    }
    assert set(jobs("pipeline")["report"]["needs"]) == {"plan", *STAGES}


def test_the_stages_that_the_plan_splits_are_those_that_take_a_shard() -> None:
    taking = {stage for stage in STAGES if "--shard" in {flag for it in commands()[stage].params for flag in it.opts}}
    assert taking == set(SHARDED)


def commands() -> dict[str, Any]:
    return typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]


def test_keys_of_engines_go_only_to_the_stages_that_ask_models() -> None:
    given = {stage for stage in STAGES if "OPENAI_API_KEY" in jobs("pipeline")[stage]["secrets"]}
    assert given == {"prompts", "generate", "judge", "evaluate"}


# --- images.yml


def test_every_image_is_published_with_every_server_that_it_can_hold() -> None:
    built = {
        (told["name"], told["image"], told.get("base"))
        for told in jobs("images")["image"]["strategy"]["matrix"]["include"]
    }
    assert built == {
        (f"{image}-{server}" if server else image, image, server)
        for image in get_args(Image)
        for server in (SERVED if image in WITH_SERVER else (None,))
    }


def test_an_image_is_pushed_by_digest_tried_out_signed_and_only_then_named() -> None:
    found = jobs("images")["image"]["steps"]
    order = [step.get("name") for step in found if step.get("name")]
    assert order[-5:] == ["Pin the base", "Build and push by digest", "Try it out", "Sign its provenance", "Name it"]
    build = next(step["run"] for step in found if step.get("id") == "build")
    assert {"--provenance mode=max", "--sbom true"} <= set(re.findall(r"--(?:provenance|sbom) \S+", build))
    assert "push-by-digest=true" in build
    signing = next(step for step in found if step.get("name") == "Sign its provenance")
    assert signing["with"]["subject-digest"] == "${{ steps.build.outputs.digest }}"


def test_the_plan_looks_for_the_images_that_are_published() -> None:
    find = next(step["run"] for step in jobs("pipeline")["plan"]["steps"] if step.get("id") == "images")
    (loop,) = re.findall(r"for name in (.*); do", find)
    names = subprocess.run(["bash", "-c", f"echo {loop}"], capture_output=True, text=True, check=True).stdout.split()
    assert set(names) == {told["name"] for told in jobs("images")["image"]["strategy"]["matrix"]["include"]}
