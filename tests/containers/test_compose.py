"""compose.yaml on a laptop: the Hub, an engine and a stage find one another, under the real Docker Compose.

A stand-in takes the place of the laptop's image, which is minutes in the building; with THINKIN_TEST_LAPTOP, as in CI,
it is the image itself.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker_engine
import docker_laptop
import pytest
import yaml
from docker_images import ROOT, Images
from huggingface_hub import HfApi
from tiny import make_student

pytestmark = pytest.mark.timeout(900)  # the first one builds the images
TOKEN = "hf_of_the_laptop"
COMPOSE = Path(sys.executable).with_name("docker-compose")
Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def compose(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = tmp_path_factory.mktemp("laptop")
    build = docker_laptop.build if os.environ.get("THINKIN_TEST_LAPTOP") else docker_laptop.build_stand_in
    image = build(images, folder)
    changed = {name: {"image": image, "pull_policy": "never"} for name in ("hub", "engine", "stage")}
    changed["hub"]["ports"] = ["127.0.0.1::8790"]
    text = yaml.safe_dump({"services": changed}).replace(
        "ports:", "ports: !override"
    )  # a free port in place of its own
    (folder / "changed.yaml").write_text(text, "utf-8")
    line = [str(COMPOSE), "--project-name", "thinkin-test", "--file", "compose.yaml"]
    line += ["--file", str(folder / "changed.yaml")]

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {**docker_engine.environment(), "HF_TOKEN": TOKEN, "MODEL": "tiny/student", **environment}
        return subprocess.run([*line, *words], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)

    yield run
    run("--profile", "*", "down", "--volumes", "--timeout", "5")


def done(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


def test_a_stage_reads_from_the_hub_and_asks_the_engine(compose: Compose, tmp_path: Path) -> None:
    done(compose("up", "--detach", "--wait", "hub"))
    hub = HfApi(endpoint=f"http://{done(compose('port', 'hub', '8790'))}", token=TOKEN)
    hub.create_repo("tiny/student")
    hub.upload_folder(repo_id="tiny/student", folder_path=make_student(tmp_path / "student"))
    started = compose("up", "--detach", "--wait", "engine")
    assert started.returncode == 0, started.stderr + compose("logs", "engine").stdout
    mounted = f"{recipe(tmp_path)}:/recipe.yaml:ro"
    for stage in ("prompts", "generate"):
        done(compose("run", "--rm", "--volume", mounted, "stage", stage, "/recipe.yaml"))
    written = hub.list_repo_files("local/laptop-candidates", repo_type="dataset")
    assert [path for path in written if path.startswith("data/ru/")]


def test_without_a_token_of_its_own_nothing_starts_and_a_line_says_why(compose: Compose) -> None:
    ended = compose("up", "--detach", "hub", HF_TOKEN="")
    assert ended.returncode != 0
    assert "choose the token of your Hub first" in ended.stderr


def recipe(folder: Path) -> Path:
    source = {"kind": "problems", "families": ["seats"], "rows": 2}
    engine = {"kind": "batched", "model": "tiny/student", "url": "http://engine:8080/v1", "context": 1024}
    tree = {
        "name": "laptop",
        "languages": ["ru"],
        "engines": {"engine": engine},
        "prompts": {"sources": [source]},
        "generate": {"engine": "engine", "samples": 1, "sampling": {"max_tokens": 8}},
        "train": {"student": "tiny/student"},
        "evaluate": {
            "engine": "engine",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "same", "source": source}],
        },
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree), "utf-8")
    return file
