"""The commands as a person types them: exit codes, one clear line, a Hub in the background."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi
from llm_server import Script, serving

from pipelines import problems

ROOT = Path(__file__).parent.parent


def command(*words: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    changed = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
    for name in [name for name, value in environment.items() if value is None]:
        changed.pop(name, None)
    line = [sys.executable, "-m", "pipelines", *words]
    return subprocess.run(line, cwd=ROOT, env=changed, capture_output=True, text=True, timeout=120, check=False)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.fixture
def background(tmp_path: Path) -> Iterator[tuple[list[str], str]]:
    """Options of a Hub of its own, and its address; stopped afterwards whatever happened."""
    port = free_port()
    options = ["--data", str(tmp_path / "hub"), "--port", port]
    yield options, f"http://127.0.0.1:{port}"
    command("hub", "--stop", *options[:2])


def test_a_hub_in_the_background_serves_until_it_is_stopped(background: tuple[list[str], str]) -> None:
    options, address = background
    assert address in command("hub", "--detach", *options, HF_TOKEN="hf_one").stdout
    assert urllib.request.urlopen(address).status == 200  # noqa: S310 - our own address
    assert "already running" in command("hub", "--detach", *options, HF_TOKEN="hf_one").stdout
    assert "stopped" in command("hub", "--stop", *options[:2]).stdout
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)  # noqa: S310 - our own address


def test_a_hub_that_runs_is_verified_and_exported_but_its_garbage_is_left(
    background: tuple[list[str], str], tmp_path: Path
) -> None:
    options, address = background
    data = options[:2]
    command("hub", "--detach", *options, HF_TOKEN="hf_one")
    HfApi(endpoint=address, token="hf_one").create_repo("some/model")
    assert "whole" in command("hub", "verify", *data).stdout
    assert "models/some/model" in command("hub", "export", *data, str(tmp_path / "out")).stdout
    assert (tmp_path / "out/models/some/model/.gitattributes").exists()
    refused = command("hub", "gc", *data)
    assert refused.returncode == 1
    assert f"python -m pipelines hub --stop {' '.join(data)}" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_upkeep_of_a_hub_that_stands_still_says_what_it_found(
    background: tuple[list[str], str], tmp_path: Path
) -> None:
    options, address = background
    data = options[:2]
    command("hub", "--detach", *options, HF_TOKEN="hf_one")
    api = HfApi(endpoint=address, token="hf_one")
    api.create_repo("some/model")
    (tmp_path / "w.bin").write_bytes(b"weights" * 1000)
    api.upload_file(path_or_fileobj=tmp_path / "w.bin", path_in_repo="w.bin", repo_id="some/model")
    command("hub", "--stop", *data)
    (large,) = (tmp_path / "hub/lfs").rglob("*/*/*")
    large.write_bytes(b"damage")
    damaged = command("hub", "verify", *data)
    assert damaged.returncode == 1
    assert "models/some/model@" in damaged.stdout
    assert ": w.bin: " in damaged.stdout
    collected = command("hub", "gc", *data)
    assert collected.returncode == 0
    assert "0 large files" in collected.stdout


def test_upkeep_takes_no_folder_but_the_one_it_is_given(tmp_path: Path) -> None:
    misplaced = command("hub", "--data", str(tmp_path), "gc")
    assert misplaced.returncode == 2
    assert "hub gc --data DIR" in misplaced.stderr
    nothing = command("hub", "gc", "--data", str(tmp_path))
    assert nothing.returncode == 1
    assert "holds no Hub" in nothing.stderr
    assert not any(tmp_path.iterdir())


def test_a_hub_on_a_taken_port_says_so_in_a_line(hub_server: str, tmp_path: Path) -> None:
    port = hub_server.rsplit(":", 1)[1]
    ended = command("hub", "--data", str(tmp_path / "other"), "--port", port, HF_TOKEN="hf_one")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the Hub cannot start at")
    assert len(ended.stderr.splitlines()) == 1


def test_the_token_of_a_hub_stands_in_no_file_of_it(background: tuple[list[str], str]) -> None:
    options, _ = background
    token = "hf_a_token_that_must_not_be_found"
    command("hub", "--detach", *options, HF_TOKEN=token)
    files = [path for path in Path(options[1]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_a_hub_without_a_token_makes_one_once_and_keeps_it(tmp_path: Path) -> None:
    """Another one at every start would lock out whoever wrote down the first."""
    line = [sys.executable, "-m", "pipelines", "hub", "--data", str(tmp_path / "hub"), "--port", free_port()]
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    told: list[bool] = []
    for _ in range(2):
        process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        until_it_serves = list(itertools.takewhile(lambda line: "the Hub is at" not in line, process.stdout))
        told.append(any("HF_TOKEN=" in line for line in until_it_serves))
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert told == [True, False]


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["generate", "demo"], {"HF_TOKEN": None, "HF_TOKEN_PATH": "/nonexistent"}, "set HF_TOKEN"),
        (["generate", "demo"], {"HF_TOKEN": "hf_wrong"}, "does not know the token"),
        (["generate", "demo"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "no Hub answers at http://127.0.0.1:9"),
        (["choose", "demo"], {}, "run judge first"),
        (["run", "demo", "--from", "train", "--to", "judge"], {}, "comes after"),
        (["run", "demo", "--from", "training"], {}, "there is no stage 'training'"),
        (["generate", "demo", "--wrong"], {}, "--wrong"),
        (["genrate", "demo"], {}, "genrate"),
        (["generate", "demo", "--shard", "5/4"], {}, "--shard 5/4: give it as I/N, such as 2/4"),
        (["choose", "demo", "--shard", "1/2"], {}, "--shard"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line_on_stderr(
    hub_server: str, words: list[str], environment: dict[str, str | None], told: str
) -> None:
    ended = command(*words, **environment)
    assert ended.returncode in (1, 2)
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "hf_" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["prompts", "generate"])
def test_a_stage_that_is_stopped_says_so_and_leaves_with_130(
    stage: str, hub_server: str, name: str, tmp_path: Path, number: signal.Signals
) -> None:
    source: dict[str, Any] = {"kind": "gym", "task": "gsm_symbolic", "rows": 2}
    if stage == "generate":
        source = {"kind": "problems", "families": list(problems.FAMILIES), "rows": 2}  # which nobody has to translate
    way = {"name": "base", "model": "base", "instruction": "plain.v1"}
    script = Script(delay=60)
    with serving(script) as url:
        recipe = {
            "name": name,
            "languages": ["ru"],
            "engines": {"model": {"kind": "openai", "model": "scripted", "url": url}},
            "prompts": {"sources": [source], "translate": {"engine": "model"}},
            "generate": {"engine": "model"},
            "train": {"student": "tiny/student"},
            "evaluate": {"engine": "model", "ways": [way], "benchmarks": [{"name": "same", "source": source}]},
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe))
        if stage == "generate":
            assert command("prompts", str(file)).returncode == 0
        line = [sys.executable, "-m", "pipelines", stage, str(file)]
        with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            assert script.asked.wait(60)
            process.send_signal(number)
            _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("stopped; what was published stays")
