"""How a container ends before its work is done: told to stop, or out of memory. Every image, with no rights."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker_engine
import pytest
from docker_images import Images
from llm_server import serving
from small_recipe import IMAGES, containers, facts, name_a_trained_model, opened, rows, run_before, write
from test_pipeline import ROWS, scripted

from pipelines.hub import Hub
from pipelines.recipe import Stage
from pipelines.training.resumption import BRANCH

pytestmark = pytest.mark.timeout(900)  # the first one builds the images
TIGHT = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "54321:54321")
ANSWERED = 10
"""Requests until a model answers no more."""
ONE_AT_A_TIME = {"teacher": {"parallel": 1}, "student": {"parallel": 1}}
UNTRAINED = [{"name": "base", "model": "base", "instruction": "plain.v1"}]
LATER = 'set -- /work/thinkin-train-*/*/checkpoint-4; test -d "$1"'
"""Whether checkpoints were taken after the first, which keeps the next ones from the Hub for a minute."""


@contextmanager
def container(images: Images, stage: Stage, recipe: str) -> Iterator[str]:
    """Without --init: the command line is process 1, which the kernel spares every signal that it does not handle."""
    mounted = ["--volume", f"{recipe}:/recipe.yaml:ro"]
    passed = [f"--env={variable}={os.environ[variable]}" for variable in ("HF_ENDPOINT", "HF_TOKEN")]
    image = images.names[IMAGES[stage]]
    words = ["run", "--detach", "--network", "host", *TIGHT, *passed, *mounted, image, stage, "/recipe.yaml"]
    name = docker_engine.docker(*words).stdout.strip()
    try:
        yield name
    finally:
        docker_engine.docker("rm", "--force", "--volumes", name)


def log(name: str) -> str:
    said = docker_engine.docker("logs", name)
    return said.stdout + said.stderr


def until(name: str, holds: Callable[[], bool]) -> None:
    """Wait for it, as long as the container runs."""
    while not holds():
        state = docker_engine.docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip()
        assert state == "true", log(name)
        time.sleep(0.2)


def stop(name: str) -> None:
    """As an operator does: SIGKILL, and with it 137, would follow after 10 seconds."""
    docker_engine.docker("stop", "--time", "10", name)
    assert docker_engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip() == "130", log(name)


@pytest.mark.parametrize("stage", ["generate", "judge"])
def test_a_stage_that_is_told_to_stop_publishes_what_it_has(
    images: Images, connected: Hub, name: str, tmp_path: Path, stage: Stage
) -> None:
    script = scripted()
    with serving(script) as url:
        recipe = write(tmp_path, name, url, engines=ONE_AT_A_TIME)
        run = opened(recipe, connected)
        run_before(stage, run)
        script.stall_after = len(script.requests) + ANSWERED
        with container(images, stage, recipe) as working:
            assert script.stalled.wait(60), log(working)
            stop(working)
    told = facts(run, stage)
    assert told
    assert not told.complete
    assert 0 < rows(run, stage) < 2 * ROWS


def test_an_evaluation_that_is_told_to_stop_publishes_what_it_has_and_ends_its_server(
    images: Images, connected: Hub, name: str, tmp_path: Path
) -> None:
    """The server tells the teacher, whom nobody else asks, that it does not answer any more."""
    script = scripted()
    with serving(script) as url:
        stalling = {"stall-after": ANSWERED, "tell": url}
        engines = {"student": {"parallel": 1, "arguments": stalling}}
        recipe = write(tmp_path, name, url, engines=engines, evaluate={"ways": UNTRAINED, "samples": 3})
        run = opened(recipe, connected)
        run_before("train", run)
        name_a_trained_model(run)
        script.asked.clear()
        with container(images, "evaluate", recipe) as working:
            assert script.asked.wait(60), log(working)
            healthy = docker_engine.docker("exec", working, "healthy")
            assert healthy.returncode == 0, healthy.stderr
            stop(working)
    told = facts(run, "evaluate")
    assert told
    assert not told.complete
    assert 0 < rows(run, "evaluate") <= ANSWERED


def test_a_training_that_is_told_to_stop_publishes_its_newest_checkpoint(
    images: Images, connected: Hub, name: str, tmp_path: Path
) -> None:
    endless = {"sft": {"max_steps": 100_000, "logging_steps": 1, "save_steps": 1}}
    with serving(scripted()) as url:
        recipe = write(tmp_path, name, url, train=endless)
        run = opened(recipe, connected)
        run_before("train", run)
    with container(images, "train", recipe) as working:
        until(working, lambda: facts(run, "train", BRANCH) is not None)
        first = facts(run, "train", BRANCH)
        until(working, lambda: docker_engine.docker("exec", working, "sh", "-c", LATER).returncode == 0)
        stop(working)
    last = facts(run, "train", BRANCH)
    assert first
    assert last
    assert last.details["step"] > first.details["step"]
    assert not last.complete


def test_a_launch_that_is_told_to_stop_stops_its_container_in_due_form(
    images: Images, connected: Hub, name: str, tmp_path: Path
) -> None:
    script = scripted()
    with serving(script) as url:
        recipe = write(tmp_path, name, url, engines=ONE_AT_A_TIME)
        run = opened(recipe, connected)
        run_before("generate", run)
        script.stall_after = ANSWERED
        line = images.command("launch", "generate", recipe, "--on", "docker", "--image", images.names["generator"])
        with subprocess.Popen(**line, stdout=subprocess.PIPE) as process:
            assert script.stalled.wait(60)
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert 0 < rows(run, "generate") < 2 * ROWS
    assert containers() == []


@pytest.mark.parametrize("stage", IMAGES)
def test_a_stage_that_runs_out_of_memory_is_told_apart_from_one_that_fails(
    images: Images, connected: Hub, name: str, tmp_path: Path, stage: Stage
) -> None:
    recipe = write(tmp_path, name, "http://127.0.0.1:9/v1")
    line = ["launch", stage, recipe, "--on", "docker", "--image", images.names[IMAGES[stage]], "--gpus", "none"]
    starved = images.run(*line, "--memory", "32m")
    assert starved.returncode == 137, starved.stderr
    assert f"{stage} ran out of memory (its limit of 32m)" in starved.stderr
    assert containers() == []
