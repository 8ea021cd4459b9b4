"""`launch --on actions` against a server on loopback that answers as GitHub's API does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipelines.errors import RecipeError, StageError
from pipelines.launch import actions
from pipelines.screen import Screen

ROOT = Path(__file__).parent.parent.parent
PAGE = "https://github.example/some/fork/actions/runs/7"
DISPATCHED = (200, {"workflow_run_id": 7, "run_url": "unused", "html_url": PAGE})
JOBS = {
    "jobs": [
        {"name": "plan", "conclusion": "success"},
        {"name": "generate (1/2)", "conclusion": "failure"},
        {"name": "judge", "conclusion": "skipped"},
    ]
}


@dataclass
class GitHub:
    """Answers a dispatch, then each look at the run with the next of `looks`; the last one stays."""

    dispatch: tuple[int, dict[str, Any] | None] = DISPATCHED
    looks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def answer(self, path: str) -> tuple[int, dict[str, Any] | None]:
        if path.endswith("/dispatches"):
            return self.dispatch
        if "/jobs" in path:
            return 200, JOBS
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    played = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            played.requests.append((self.command, self.path, body))
            played.tokens.add(self.headers.get("authorization"))
            status, told = played.answer(self.path)
            content = json.dumps(told).encode() if told is not None else b""
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    yield played
    server.shutdown()
    server.server_close()
    thread.join(10)


def dispatch(inputs: dict[str, str]) -> list[str]:
    console = Console(file=StringIO(), width=1000)
    actions.run(actions.Place("some/fork", "main", "ghp_secret"), inputs, Screen(console), poll=0.001)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_run_is_dispatched_with_its_inputs_and_waited_for(github: GitHub) -> None:
    states = ("queued", "waiting", "in_progress", "in_progress")
    github.looks = [(200, {"status": state}) for state in states]
    github.looks.append((200, {"status": "completed", "conclusion": "success"}))
    said = dispatch({"recipe": "russian", "from": "judge", "to": "judge"})
    method, path, body = github.requests[0]
    assert (method, path) == ("POST", "/repos/some/fork/actions/workflows/pipeline.yml/dispatches")
    assert body == {
        "ref": "main",
        "inputs": {"recipe": "russian", "from": "judge", "to": "judge"},
        "return_run_details": True,
    }
    assert github.tokens == {"Bearer ghp_secret"}
    assert said[0] == f"dispatched: {PAGE}"
    assert said[1:-1] == ["queued", "waiting for an approval", "in progress"]
    assert said[-1] == f"finished: {PAGE}"


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out"])
def test_a_run_that_did_not_succeed_is_an_error_that_names_the_jobs(github: GitHub, conclusion: str) -> None:
    github.looks = [(200, {"status": "completed", "conclusion": conclusion})]
    with pytest.raises(StageError, match=rf"{conclusion} \(generate \(1/2\)\).*{PAGE}"):
        dispatch({})


def test_a_look_that_fails_now_and_then_does_not_end_the_waiting(github: GitHub) -> None:
    github.looks = [(502, {}), (200, {"status": "queued"}), (429, {}), (403, {"message": "rate limit exceeded"})]
    github.looks.append((200, {"status": "completed", "conclusion": "success"}))
    assert dispatch({})[-1].startswith("finished")


def test_looks_that_always_fail_end_the_waiting(github: GitHub) -> None:
    github.looks = [(502, {})]
    with pytest.raises(StageError, match="the run goes on there"):
        dispatch({})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {"message": "Bad credentials"}), "401 Bad credentials"),
        ((404, {"message": "Not Found"}), "404 Not Found"),
        ((422, {"message": "No ref found for: main"}), "No ref found"),
        ((200, {}), "did not dispatch"),
        ((204, None), "does not tell which run"),
    ],
)
def test_a_dispatch_that_is_refused_is_one_line_without_the_token(
    github: GitHub, answer: tuple[int, dict[str, Any] | None], told: str
) -> None:
    github.dispatch = answer
    with pytest.raises(StageError, match=told) as error:
        dispatch({})
    assert "ghp_" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_no_token_is_an_error_before_anything_is_sent(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StageError, match="set GITHUB_TOKEN"):
        actions.place()
    assert not github.requests


def test_the_repository_and_branch_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
    monkeypatch.setenv("GITHUB_REPOSITORY", "some/fork")
    monkeypatch.setenv("GITHUB_REF_NAME", "topic")
    assert actions.place() == actions.Place("some/fork", "topic", "ghp_secret")


def test_the_form_is_filled_with_what_was_given_and_the_stage_alone() -> None:
    filled = actions.inputs("judge", "russian", 5, "ru", ["namespace=acme"], ["gpu-runner=a100"])
    assert filled == {
        "recipe": "russian",
        "from": "judge",
        "to": "judge",
        "languages": "ru",
        "limit": "5",
        "namespace": "acme",
        "gpu-runner": "a100",
    }
    assert actions.inputs("judge", "russian", None, None, [], []) == {
        "recipe": "russian",
        "from": "judge",
        "to": "judge",
    }


def test_an_override_that_cannot_travel_is_refused() -> None:
    with pytest.raises(RecipeError, match="only the namespace"):
        actions.inputs("judge", "russian", None, None, ["generate.samples=2"], [])


def test_every_input_that_is_filled_in_is_one_of_the_form() -> None:
    form = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text("utf-8"))
    filled = actions.inputs("judge", "russian", 5, "ru", ["namespace=acme"], [])
    assert filled.keys() <= form[True]["workflow_dispatch"]["inputs"].keys()  # YAML 1.1 reads `on` as true


def test_the_command_dispatches_waits_and_passes_the_end_on(github: GitHub) -> None:
    github.looks = [(200, {"status": "completed", "conclusion": "failure"})]
    environment = {
        **os.environ,
        "GITHUB_TOKEN": "ghp_secret",
        "GITHUB_REPOSITORY": "some/fork",
        "GITHUB_REF_NAME": "main",
    }
    line = [sys.executable, "-m", "pipelines", "launch", "judge", "russian", "--on", "actions", "--limit", "5"]
    ended = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "Re-run failed jobs" in ended.stderr
    assert github.requests[0][2] == {
        "ref": "main",
        "inputs": {"recipe": "russian", "from": "judge", "to": "judge", "limit": "5"},
        "return_run_details": True,
    }
    assert "ghp_" not in ended.stdout + ended.stderr
