"""images.yml, script by script, with a stand-in for Docker: what is built on what, and what is named."""

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from acting import ROOT, STUBS, WORKFLOWS, script

TGI = "ghcr.io/huggingface/text-generation-inference:3.3.7"
BUILT = "sha256:" + "ab" * 32


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The environment of a job whose registry has TGI's image; what Docker is asked is in `asked`."""
    return {
        "PATH": f"{STUBS / 'bin'}:{os.environ['PATH']}",
        "DOCKER_ASKED": str(tmp_path / "asked"),
        "DOCKER_HAS": "text-generation-inference",
        "DOCKER_BUILDS": BUILT,
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_REPOSITORY": "Some/Fork",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_ACTOR": "somebody",
        "GITHUB_TOKEN": "ghs_of_the_run",
        "GITHUB_SHA": "0" * 40,
        "GITHUB_REF_NAME": "topic/one",
        "RUNNER_TEMP": str(tmp_path),
    }


def step(name: str, environment: dict[str, str], **given: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the step with `given` for what its expressions would come to."""
    tree = yaml.safe_load((WORKFLOWS / "images.yml").read_text("utf-8"))
    (found,) = [it for it in tree["jobs"]["image"]["steps"] if it.get("name") == name]
    assert given.keys() | {"GITHUB_TOKEN"} >= found["env"].keys()
    line = script("images.yml", "image", name)
    return subprocess.run(line, cwd=ROOT, env={**environment, **given}, capture_output=True, text=True, check=False)


def outputs(environment: dict[str, str]) -> dict[str, Any]:
    lines = Path(environment["GITHUB_OUTPUT"]).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def asked(environment: dict[str, str]) -> str:
    file = Path(environment["DOCKER_ASKED"])
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("image", ["generator", "evaluator"])
def test_a_base_that_is_named_by_its_tag_is_built_on_by_its_digest_and_said(runner: dict[str, str], image: str) -> None:
    ended = step("Pin the base", runner, IMAGE=image, BASE="tgi")
    pinned = f"{TGI}@sha256:{hashlib.sha256(TGI.encode()).hexdigest()}"
    assert outputs(runner) == {"image": pinned}
    assert f"::notice file=containers/{image}/Dockerfile::" in ended.stdout
    assert ended.stdout.strip().endswith(f"FROM {pinned} AS tgi")


def test_a_base_that_is_pinned_is_taken_as_it_is(runner: dict[str, str]) -> None:
    ended = step("Pin the base", runner, IMAGE="generator", BASE="vllm")
    assert re.fullmatch(r"vllm/vllm-openai:v[\d.]+@sha256:[0-9a-f]{64}", outputs(runner)["image"])
    assert (ended.stdout, asked(runner)) == ("", "")


def test_a_base_that_is_gone_ends_the_build(runner: dict[str, str]) -> None:
    ended = step("Pin the base", {**runner, "DOCKER_HAS": ""}, IMAGE="generator", BASE="tgi")
    assert ended.returncode != 0
    assert f"{TGI}: not found" in ended.stderr
    assert not Path(runner["GITHUB_OUTPUT"]).exists()


def test_what_is_built_on_the_pinned_base_is_pushed_by_digest_and_then_named(runner: dict[str, str]) -> None:
    built = step("Build and push by digest", runner, NAME="generator-tgi", IMAGE="generator", BASE=f"{TGI}@{BUILT}")
    assert built.returncode == 0, built.stderr
    image = "ghcr.io/some/fork/generator-tgi"
    assert outputs(runner) == {"image": image, "digest": BUILT}
    assert f"--build-arg BASE_IMAGE={TGI}@{BUILT} " in asked(runner)
    assert f"--output type=image,name={image},push-by-digest=true" in asked(runner)
    assert "ghs_" not in asked(runner) + built.stdout + built.stderr
    named = step("Name it", runner, IMAGE=image, DIGEST=BUILT)
    assert named.returncode == 0, named.stderr
    assert f"create --tag {image}:{'0' * 40} --tag {image}:topic-one {image}@{BUILT}" in asked(runner)


def test_an_image_without_a_choice_of_base_is_built_on_what_its_file_names(runner: dict[str, str]) -> None:
    built = step("Build and push by digest", runner, NAME="judge", IMAGE="judge", BASE="")
    assert built.returncode == 0, built.stderr
    assert "BASE_IMAGE" not in asked(runner)
