"""Where a stage may run: one specification, and the jobs that are made of it. Containers are in tests/containers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jobs_server import Jobs, serving

from pipelines import facts, recipes
from pipelines.errors import RecipeError, StageError
from pipelines.launch import actions, docker, specify
from pipelines.recipe import Recipe, Stage

ROOT = Path(__file__).parent.parent
SECRET = "hf_that_nobody_may_read"
SOURCE = {"kind": "problems", "families": ["seats"], "rows": 1}


def recipe(tmp_path: Path, engine: dict[str, Any], **changed: Any) -> str:
    tree = {
        "name": "small",
        "languages": ["ru"],
        "engines": {"model": {"model": "some/model", **engine}, "large": {"kind": "vllm", "model": "some/large"}},
        "prompts": {"sources": [SOURCE]},
        "generate": {"engine": "model"},
        "train": {"student": "some/model"},
        "evaluate": {
            "engine": "model",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "same", "source": SOURCE}],
        },
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree | changed), "utf-8")
    return str(file)


def loaded(tmp_path: Path, engine: dict[str, Any], **changed: Any) -> Recipe:
    return recipes.load(recipe(tmp_path, engine, **changed))


@pytest.mark.parametrize(
    ("stage", "engine", "image", "server", "gpu"),
    [
        ("prompts", {"kind": "vllm"}, "judge", None, False),
        ("generate", {"kind": "vllm"}, "generator", "vllm", True),
        ("generate", {"kind": "tgi"}, "generator", "tgi", True),
        ("generate", {"kind": "batched", "url": "http://gpu:8000/v1"}, "generator", None, False),
        ("judge", {"kind": "vllm"}, "judge", None, False),
        ("choose", {"kind": "vllm"}, "judge", None, False),
        ("train", {"kind": "vllm"}, "trainer", None, True),
        ("evaluate", {"kind": "tgi"}, "evaluator", "tgi", True),
    ],
)
def test_a_stage_gets_the_image_that_holds_what_it_starts(
    tmp_path: Path, stage: Stage, engine: dict[str, Any], image: str, server: str | None, gpu: bool
) -> None:
    task = specify(stage, loaded(tmp_path, engine), SECRET)
    assert (task.image, task.server, task.gpu) == (image, server, gpu)
    assert task.command == ("thinkin", stage)


def test_a_part_of_a_stage_is_a_part_of_its_command(tmp_path: Path) -> None:
    task = specify("generate", loaded(tmp_path, {"kind": "vllm"}), SECRET, shard="2/3")
    assert task.command == ("thinkin", "generate", "--shard", "2/3")


def test_judges_that_are_served_within_the_stage_take_the_image_with_a_server(tmp_path: Path) -> None:
    judge = {"kind": "rubric", "name": "logic", "engine": "large", "instruction": "logic.v1"}
    task = specify("judge", loaded(tmp_path, {"kind": "tgi"}, judge={"judges": [judge]}), SECRET)
    assert (task.image, task.server, task.gpu) == ("evaluator", "vllm", True)


@pytest.mark.parametrize(
    ("stage", "key", "named"),
    [
        ("train", "train", {"student": "some/model", "template": __file__}),
        ("judge", "calibration", {"file": __file__}),
    ],
)
def test_a_file_of_this_machine_is_refused_because_a_container_has_none(
    tmp_path: Path, stage: Stage, key: str, named: dict[str, Any]
) -> None:
    asking = loaded(tmp_path, {"kind": "vllm"}, **{key: named})
    with pytest.raises(RecipeError, match="a container has no file"):
        specify(stage, asking, SECRET)
    specify("choose", asking, SECRET)


def test_an_engine_that_no_image_holds_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="engine of kind batched, which no image holds: take tgi or vllm"):
        specify("generate", loaded(tmp_path, {"kind": "batched"}), SECRET)


def test_the_recipe_that_a_container_reads_is_the_one_that_was_launched(tmp_path: Path) -> None:
    launched = recipes.load(recipe(tmp_path, {"kind": "vllm"}), ["generate.samples=3"], limit=5)
    task = specify("generate", launched, SECRET)
    assert recipes.load(task.environment["THINKIN_RECIPE"]) == launched


def test_only_servers_on_loopback_bring_a_container_into_this_machines_network(tmp_path: Path) -> None:
    outside: dict[str, Any] = {"kind": "openai", "url": "https://api.example.org/v1"}
    here: dict[str, Any] = {"kind": "openai", "url": "http://127.0.0.1:8000/v1"}
    hub = "http://localhost:8790"
    assert specify("generate", loaded(tmp_path, outside), SECRET, {}).local == ()
    assert specify("generate", loaded(tmp_path, here), SECRET, {}).local == (here["url"],)
    assert specify("judge", loaded(tmp_path, here), SECRET, {}).local == ()
    assert specify("judge", loaded(tmp_path, outside), SECRET, {"HF_ENDPOINT": hub}).local == (hub,)


def test_a_machine_that_trains_with_others_takes_its_place_along(tmp_path: Path) -> None:
    train = {"student": "some/model", "accelerate": "fsdp2", "processes": 8, "machines": 2}
    alone, together = (loaded(tmp_path, {"kind": "vllm"}, train=train | {"machines": count}) for count in (1, 2))
    place = {"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}
    task = specify("train", together, SECRET, place)
    assert task.together
    assert task.environment.items() >= place.items()
    assert not specify("train", alone, SECRET, place).environment.keys() & place.keys()
    assert not specify("evaluate", together, SECRET, {}).together
    with pytest.raises(StageError, match="set NODE_RANK on each of them"):
        specify("train", together, SECRET, {"MASTER_ADDR": "10.0.0.1"})


def test_secrets_travel_as_secrets_alone(tmp_path: Path) -> None:
    engine = {"kind": "openai", "url": "https://api.example.org/v1", "api_key": "MODEL_KEY"}
    task = specify("generate", loaded(tmp_path, engine), SECRET, {"MODEL_KEY": "sk-of-the-model"})
    assert task.secrets == {"HF_TOKEN": SECRET, "MODEL_KEY": "sk-of-the-model"}
    told = [repr(task), *task.command, *task.labels.values(), *task.environment.values()]
    assert not [text for text in told if SECRET in text or "sk-of-the-model" in text]
    with pytest.raises(StageError, match="MODEL_KEY is not set"):
        specify("generate", loaded(tmp_path, engine), SECRET, {})


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [
        ("ghcr.io/o/r/judge@sha256:aa", [], "ghcr.io/o/r/judge@sha256:aa"),
        ("ghcr.io/o/r/judge:main", ["ghcr.io/o/r/judge@sha256:bb"], "ghcr.io/o/r/judge@sha256:bb"),
        ("thinkin-judge:abc", [], "thinkin-judge:abc (sha256:cc)"),
    ],
)
def test_a_container_is_told_its_image_by_a_digest(name: str, known: list[str], told: str) -> None:
    assert docker.digest(name, SimpleNamespace(attrs={"RepoDigests": known}, id="sha256:cc")) == told


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--gpus", "lots", "--gpus lots: write all, none or a number"),
        ("--memory", "lots", "--memory lots: write a number with its unit"),
        ("--on", "moon", "'moon' is not one of 'docker', 'jobs', 'actions'"),
    ],
)
def test_an_option_that_means_nothing_is_a_line_before_docker_is_asked(
    endpoint: str, tmp_path: Path, option: str, value: str, told: str
) -> None:
    ended = run(endpoint, "choose", recipe(tmp_path, {"kind": "vllm"}), option, value, on="docker")
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DOCKER_HOST": "unix:///nowhere.sock"}, "no Docker engine answers"),
        ({"HF_TOKEN": "", "HF_HOME": "/nowhere"}, "there is no token for http"),
    ],
)
def test_what_a_machine_lacks_is_a_line_also_without_git(
    endpoint: str, tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    line = launch(endpoint, "choose", recipe(tmp_path, {"kind": "vllm"}), on="docker")
    line["env"] |= {"PATH": str(tmp_path), **environment}
    ended = subprocess.run(**line, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_git_a_run_has_no_commit_and_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
    for name in ("THINKIN_REVISION", "GITHUB_REPOSITORY", "GITHUB_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert facts.source.__wrapped__() == ""
    with pytest.raises(StageError, match="which repository and branch"):
        actions.place()


# --- jobs


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def endpoint(jobs: Jobs) -> Iterator[str]:
    with serving(jobs) as address:
        yield address


def launch(endpoint: str, *words: str, on: str = "jobs") -> dict[str, Any]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": SECRET}
    line = [sys.executable, "-m", "pipelines", "launch", "--on", on, *words]
    return {"args": line, "cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def run(endpoint: str, *words: str, on: str = "jobs") -> subprocess.CompletedProcess[str]:
    return subprocess.run(**launch(endpoint, *words, on=on), text=True, check=False, timeout=60)


def test_a_job_gets_the_whole_command_the_hardware_a_time_out_and_its_secrets(
    jobs: Jobs, endpoint: str, tmp_path: Path
) -> None:
    options = ["--image", "ghcr.io/somebody/trainer", "--flavor", "l40sx1", "--timeout", "3h"]
    ended = run(endpoint, "train", recipe(tmp_path, {"kind": "vllm"}), *options)
    assert ended.returncode == 0, ended.stderr
    assert "first line\nsecond line" in ended.stdout
    (asked,) = jobs.asked
    assert asked["command"] == ["thinkin", "train"]
    assert asked["environment"]["THINKIN_IMAGE"] == options[1]
    assert (asked["dockerImage"], asked["flavor"], asked["timeoutSeconds"]) == (options[1], "l40sx1", 3 * 3600)
    assert asked["secrets"] == {"HF_TOKEN": SECRET}
    assert asked.pop("authorization") == f"Bearer {SECRET}"
    assert asked["labels"].items() >= {"thinkin.stage": "train", "thinkin.recipe": "small"}.items()
    del asked["secrets"]
    assert SECRET not in str(asked) + ended.stdout + ended.stderr


@pytest.mark.parametrize("end", ["ERROR", "CANCELED", "DELETED"])
def test_a_job_that_did_not_complete_fails_the_launch_with_the_reason(
    jobs: Jobs, endpoint: str, tmp_path: Path, end: str
) -> None:
    jobs.end, jobs.message = end, "Job timeout"
    ended = run(endpoint, "choose", recipe(tmp_path, {"kind": "vllm"}), "--image", "somebody/judge")
    assert ended.returncode == 1
    assert f"choose ended as {end} on Hugging Face Jobs: Job timeout; see {endpoint}/jobs/somebody/j1" in ended.stderr


def test_a_launch_that_is_stopped_cancels_its_job(jobs: Jobs, endpoint: str, tmp_path: Path) -> None:
    jobs.end = None
    line = launch(endpoint, "choose", recipe(tmp_path, {"kind": "vllm"}), "--image", "somebody/judge")
    with subprocess.Popen(**line) as process:
        assert jobs.followed.wait(60)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert jobs.cancelled.is_set()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "--flavor", "l40sx1"], "--on jobs needs --image"),
        (["train", "--image", "somebody/trainer"], "train needs a GPU: choose one with --flavor"),
        (["choose", "--image", "somebody/judge"], "Hugging Face Jobs answers 402"),
        (
            ["generate", "--image", "somebody/generator"],
            "a server at http://127.0.0.1:8000/v1, which a job cannot reach",
        ),
    ],
)
def test_what_a_job_lacks_is_a_line_and_costs_nothing(
    jobs: Jobs, endpoint: str, tmp_path: Path, words: list[str], told: str
) -> None:
    jobs.refusal = 402
    ended = run(endpoint, words[0], recipe(tmp_path, {"kind": "vllm", "url": "http://127.0.0.1:8000/v1"}), *words[1:])
    assert ended.returncode in (1, 2)
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert jobs.asked == []
