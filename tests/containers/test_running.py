"""The images at work: a whole pipeline in them, and the ways in which a container ends."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker_engine
import pytest
import yaml
from docker_images import ARGUMENTS, Images
from llm_server import Script, serving
from test_pipeline import OVERLAP, ROWS, config, scripted
from tiny import make_student

from pipelines import hub
from pipelines.facts import Facts
from pipelines.hub import Hub

pytestmark = pytest.mark.timeout(900)  # the first one builds the images


@pytest.fixture(scope="module")
def connected(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """The Hub, with the student on it."""
    connected = hub.connect(None)
    folder = make_student(tmp_path_factory.mktemp("student"))
    connected.create("tiny/student", "model", private=False)
    connected.publish("tiny/student", "model", "a student", {path.name: path for path in folder.iterdir()})
    return connected


class Stalling(Script):
    """Answers the first requests, those of the probe among them, and lets the others wait."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__(answers)
        self.stalled = threading.Event()
        stalling = self

        class Requests(list[dict[str, Any]]):
            def append(self, request: dict[str, Any]) -> None:
                super().append(request)
                if len(self) == 10:
                    stalling.delay = 30
                    stalling.stalled.set()

        self.requests = Requests()


def write(folder: Path, name: str, url: str, **changed: Any) -> str:
    """A recipe whose teacher is on this machine and whose student is served inside the container."""
    recipe: dict[str, Any] = config(url)
    recipe["name"] = name
    recipe["engines"]["teacher"] |= changed
    recipe["engines"]["student"] = {"kind": "vllm", "model": "tiny/student", "parallel": 4, "context": 512}
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    return str(file)


def facts(connected: Hub, repo: str, stage: str, kind: Any = "dataset") -> Facts:
    snapshot = connected.snapshot(connected.repo(repo), kind, stage)
    assert snapshot
    assert snapshot.facts
    return snapshot.facts


def containers() -> list[str]:
    return docker_engine.docker("ps", "--all", "--quiet", "--filter", "label=thinkin.stage").stdout.split()


def test_a_whole_pipeline_runs_in_the_images(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    with serving(scripted()) as url:
        ended = images.run("run", write(tmp_path, name, url), "--in", "docker", "--gpus", "none", *ARGUMENTS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert facts(connected, name, "choose").counts["ru"]["chosen"] == (ROWS - OVERLAP) // 2
    assert facts(connected, f"{name}-student", "train", "model").complete
    results = facts(connected, f"{name}-results", "evaluate")
    assert results.complete
    evaluation: Any = config("")["evaluate"]
    assert results.counts["ru"]["asked"] == (3 + OVERLAP) * len(evaluation["ways"])
    assert results.source == images.environment["THINKIN_REVISION"]
    assert "sha256:" in results.image
    assert containers() == []


@pytest.fixture
def waiting(images: Images, connected: Hub, name: str, tmp_path: Path) -> Iterator[tuple[str, Stalling]]:
    """A recipe with its prompts made, and the teacher that will stall."""
    script = Stalling(scripted().answers)
    with serving(script) as url:
        recipe = write(tmp_path, name, url, parallel=1)
        made = images.run("prompts", recipe)
        assert made.returncode == 0, made.stderr
        yield recipe, script


def test_a_container_that_is_told_to_stop_publishes_what_it_has(
    images: Images, connected: Hub, name: str, waiting: tuple[str, Stalling]
) -> None:
    """Without --init: the command line is process 1, which the kernel spares every signal that it does not handle."""
    recipe, script = waiting
    mounted = ["--volume", f"{recipe}:/recipe.yaml:ro"]
    passed = [f"--env={variable}={os.environ[variable]}" for variable in ("HF_ENDPOINT", "HF_TOKEN")]
    limits = ["--read-only", "--cap-drop", "ALL", "--user", "54321:54321", "--network", "host"]
    started = docker_engine.docker(
        "run", "--detach", *limits, *passed, *mounted, images.names["generator"], "generate", "/recipe.yaml"
    )
    container = started.stdout.strip()
    try:
        assert script.stalled.wait(60), docker_engine.docker("logs", container).stderr
        docker_engine.docker("stop", "--time", "10", container)
        told = docker_engine.docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout.strip()
        assert told == "130", docker_engine.docker("logs", container).stderr
    finally:
        docker_engine.docker("rm", "--force", "--volumes", container)
    assert not facts(connected, f"{name}-candidates", "generate").complete
    assert 0 < rows(connected, f"{name}-candidates") < 2 * ROWS


def test_a_launch_that_is_told_to_stop_stops_its_container_in_due_form(
    images: Images, connected: Hub, name: str, waiting: tuple[str, Stalling]
) -> None:
    recipe, script = waiting
    line = images.command("launch", "generate", recipe, "--on", "docker", "--image", images.names["generator"])
    with subprocess.Popen(**line, stdout=subprocess.PIPE) as process:
        assert script.stalled.wait(60)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert 0 < rows(connected, f"{name}-candidates") < 2 * ROWS
    assert containers() == []


def test_a_stage_that_runs_out_of_memory_is_told_apart_from_one_that_fails(
    images: Images, connected: Hub, name: str, tmp_path: Path
) -> None:
    recipe = write(tmp_path, name, "http://127.0.0.1:9/v1")
    line = ["launch", "judge", recipe, "--on", "docker", "--image", images.names["judge"]]
    failed, starved = images.run(*line), images.run(*line, "--memory", "32m")
    assert failed.returncode == 1
    assert "run generate first" in failed.stdout
    assert "judge ended with exit code 1 in its container" in failed.stderr
    assert starved.returncode == 137
    assert "judge ran out of memory (its limit of 32m)" in starved.stderr
    assert containers() == []


def test_an_image_that_is_not_there_is_a_line(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    recipe = write(tmp_path, name, "http://127.0.0.1:9/v1")
    ended = images.run("launch", "judge", recipe, "--on", "docker", "--image", "nowhere.invalid/nothing:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: there is no image nowhere.invalid/nothing:1, and it cannot be pulled")


def test_a_gpu_that_docker_cannot_give_is_a_line(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    if "nvidia" in docker_engine.docker("info", "--format", "{{.Runtimes}}").stdout:
        pytest.skip("this engine can give one")
    recipe = write(tmp_path, name, "http://127.0.0.1:9/v1")
    line = ["launch", "judge", recipe, "--on", "docker", "--image", images.names["judge"], "--gpus", "all"]
    ended = images.run(*line)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Docker has no driver for a GPU here")
    assert containers() == []


def rows(connected: Hub, repo: str) -> int:
    snapshot = connected.snapshot(connected.repo(repo), "dataset", "generate")
    assert snapshot
    return sum(len(ids) for _, ids in connected.columns(snapshot, snapshot.parts("data"), ["id"]))
