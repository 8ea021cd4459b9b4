"""The images as they are built: their shape, whom they run as, and what is not in them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker_engine
import pytest
from docker_images import NAMES, REVISION, ROOT, SECRET, Images
from llm_server import Script, serving

pytestmark = pytest.mark.timeout(900)  # the first one builds the images
FILES = {name: (ROOT / "containers" / name / "Dockerfile").read_text("utf-8") for name in NAMES}
PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")
NOT_PINNED = {"ghcr.io/huggingface/text-generation-inference:3.3.7"}
"""Exact tags whose digest we could not check. A digest found goes into the Dockerfile and this list gets shorter."""


def test_the_dockerfiles_differ_in_nothing_but_their_base_and_their_packages() -> None:
    def tail(name: str) -> str:
        return FILES[name].split("\nCOPY --from=dependencies", 1)[1].replace(f"thinkin {name}", "thinkin NAME")

    assert len({tail(name) for name in NAMES}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_public_base_is_pinned_by_its_digest(name: str) -> None:
    named = re.findall(r"^(?:ARG BASE_IMAGE=|ARG BUILDER_IMAGE=|FROM )(\S+)", FILES[name], re.MULTILINE)
    public = {image for image in named if "/" in image or ":" in image} - NOT_PINNED
    assert public
    assert [image for image in public if not PINNED.search(image)] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_the_command_line_as_an_ordinary_user(images: Images, name: str) -> None:
    config = inspected(images.names[name])["Config"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    assert config["Entrypoint"] == ["/opt/venv/bin/python", "-m", "pipelines"]
    assert config["Labels"]["org.opencontainers.image.revision"] == REVISION
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    assert any(Path(environment["HF_HOME"]).is_relative_to(volume) for volume in config["Volumes"])


def test_an_image_in_which_a_model_is_served_says_how_healthy_it_is(images: Images) -> None:
    checked = [name for name, tag in images.names.items() if "Healthcheck" in inspected(tag)["Config"]]
    assert checked == ["generator", "evaluator"]
    for name in checked:
        assert inspected(images.names[name])["Config"]["Healthcheck"]["Test"] == ["CMD", "healthy"]


def test_what_is_healthy_answers_and_what_serves_nothing_is_not_ill(tmp_path: Path) -> None:
    def healthy() -> bool:
        line = [sys.executable, str(ROOT / "containers/healthy")]
        environment = {**os.environ, "TMPDIR": str(tmp_path), "http_proxy": "http://127.0.0.1:9"}
        return subprocess.run(line, env=environment, capture_output=True, check=False).returncode == 0

    assert healthy()
    (tmp_path / "thinkin-server-x").mkdir()
    with serving(Script()) as url:
        (tmp_path / "thinkin-server-x/health").write_text(f"{url.removesuffix('/v1')}/health")
        assert healthy()
    assert not healthy()


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_is_also_a_program_on_the_path(images: Images, name: str) -> None:
    told = docker_engine.docker("run", "--rm", "--entrypoint", "thinkin", images.names[name], "--help")
    assert "generate" in told.stdout, told.stderr


def test_what_a_build_was_told_in_secret_is_in_no_layer_and_in_no_history(images: Images) -> None:
    told = [docker_engine.docker("history", "--no-trunc", tag).stdout for tag in images.names.values()]
    told += [json.dumps(inspected(tag)) for tag in images.names.values()]
    assert all(told)
    assert not [text for text in told if SECRET in text or os.environ["HF_TOKEN"] in text]
    line = ["docker", "save", images.names["generator"]]
    with subprocess.Popen(line, env=docker_engine.environment(), stdout=subprocess.PIPE) as saved:
        assert saved.stdout
        rest, found, size = b"", False, 0
        while piece := saved.stdout.read(1 << 24):
            found = found or SECRET.encode() in rest + piece
            rest, size = piece[-len(SECRET) :], size + len(piece)
    assert size > 1 << 24
    assert not found


def test_only_what_an_image_needs_is_sent_to_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[1] == "*"
    copied = {word for text in FILES.values() for line in re.findall(r"^COPY (?!--from)(.*)", text, re.MULTILINE)
              for word in line.split()[:-1]}  # fmt: skip
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def inspected(name: str) -> dict[str, Any]:
    return json.loads(docker_engine.docker("image", "inspect", name).stdout)[0]
