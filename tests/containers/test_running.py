"""The images at work under `launch`: a whole pipeline in them, and what keeps a container from starting."""

import subprocess
from pathlib import Path
from typing import Any

import docker_engine
import pytest
from docker_images import ARGUMENTS, Images
from llm_server import serving
from small_recipe import containers, facts, opened, write
from test_pipeline import OVERLAP, ROWS, config, scripted

from pipelines.hub import Hub

pytestmark = pytest.mark.timeout(900)  # the first one builds the images
NOBODY = "http://127.0.0.1:9/v1"


def test_a_whole_pipeline_runs_in_the_images(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    with serving(scripted()) as url:
        recipe = write(tmp_path, name, url)
        ended = images.run("run", recipe, "--in", "docker", "--gpus", "none", *ARGUMENTS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = opened(recipe, connected)
    chosen, trained, results = (facts(run, stage) for stage in ("choose", "train", "evaluate"))
    assert chosen
    assert chosen.counts["ru"]["chosen"] == (ROWS - OVERLAP) // 2
    assert trained
    assert trained.complete
    assert results
    assert results.complete
    evaluation: Any = config("")["evaluate"]
    assert results.counts["ru"]["asked"] == (3 + OVERLAP) * len(evaluation["ways"])
    assert results.source == images.environment["THINKIN_REVISION"]
    assert "sha256:" in results.image
    assert containers() == []


PROBE = """
import ctypes, shutil, sys, tempfile
from pathlib import Path
from torch._inductor.runtime.cache_dir_utils import cache_dir

home = Path.home()
places = {"inductor": cache_dir(), "triton": home / ".triton", "vllm": home / ".cache/vllm", "cuda": home / ".nv"}
for name, folder in {**places, "scratch": tempfile.gettempdir(), "tmp": "/tmp"}.items():
    Path(folder).mkdir(parents=True, exist_ok=True)
    library = shutil.copy(sys.modules["_ctypes"].__file__, folder)
    try:
        ctypes.CDLL(library)
        print(name, "runs what was compiled", flush=True)
    except OSError:
        print(name, "does not", flush=True)
"""
"""Puts a library where kernels are compiled to, and loads it."""


def test_kernels_that_are_compiled_in_a_container_can_be_loaded_there(
    images: Images, connected: Hub, name: str, tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    lines = f'FROM {images.names["trainer"]}\nCOPY probe.py /\nENTRYPOINT ["/opt/venv/bin/python", "/probe.py"]\n'
    (tmp_path / "Dockerfile").write_text(lines)
    line = ["docker", "build", "--quiet", str(tmp_path)]
    image = subprocess.run(line, env=images.environment, capture_output=True, text=True, check=True).stdout.strip()
    launch = ["launch", "train", write(tmp_path, name, NOBODY), "--on", "docker", "--image", image, "--gpus", "none"]
    said = images.run(*launch).stdout
    for place in ("inductor", "triton", "vllm", "cuda", "scratch"):
        assert f"{place} runs what was compiled" in said, said
    assert "tmp does not" in said  # where nothing has to run, nothing can


def test_a_stage_that_fails_hands_on_its_exit_code(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    ended = images.run(
        "launch", "judge", write(tmp_path, name, NOBODY), "--on", "docker", "--image", images.names["judge"]
    )
    assert ended.returncode == 1
    assert "run generate first" in ended.stdout
    assert "judge ended with exit code 1 in its container" in ended.stderr
    assert containers() == []


def test_an_image_that_is_not_there_is_a_line(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    recipe = write(tmp_path, name, NOBODY)
    ended = images.run("launch", "judge", recipe, "--on", "docker", "--image", "nowhere.invalid/nothing:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: there is no image nowhere.invalid/nothing:1, and it cannot be pulled")


def test_a_gpu_that_docker_cannot_give_is_a_line(images: Images, connected: Hub, name: str, tmp_path: Path) -> None:
    if "nvidia" in docker_engine.docker("info", "--format", "{{.Runtimes}}").stdout:
        pytest.skip("this engine can give one")
    recipe = write(tmp_path, name, NOBODY)
    line = ["launch", "judge", recipe, "--on", "docker", "--image", images.names["judge"], "--gpus", "all"]
    ended = images.run(*line)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Docker has no driver for a GPU here")
    assert containers() == []
