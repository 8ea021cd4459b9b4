"""Publishing without a stored token: a job proves who it is, and gets a token for one repo and an hour.

In front of the embedded Hub stands a server that answers as GitHub's runner and the Hub's exchange do. A token of its
making writes the one repo that it was made for, reads what is public, and does nothing else.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines import hub, launch, recipes

ROOT = Path(__file__).parent.parent
RUNNER_TOKEN = "given to the job by GitHub"
DROPPED = {"host", "content-length", "transfer-encoding", "content-encoding", "connection"}


@dataclass
class Exchange:
    """What was handed out: token -> resource; and every commit, as token's resource and address."""

    behind: str
    trusted: set[str]
    tokens: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    async def identity(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {RUNNER_TOKEN}":
            return JSONResponse({}, 401)
        return JSONResponse({"value": f"a job for {request.query_params['audience']}"})

    async def token(self, request: Request) -> Response:
        asked = await request.json()
        if asked["resource"] not in self.trusted or not asked["subject_token"].startswith("a job for http://127.0.0.1"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = f"hf_jwt_{len(self.tokens)}_of_one_repo"
        self.tokens[token] = asked["resource"]
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 3600})

    async def forward(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in DROPPED}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token in self.tokens:
            kind_and_repo = self.tokens[token] if "/" in self.tokens[token] else ""
            mine = f"/api/{'' if kind_and_repo.startswith('datasets/') else 'models/'}{kind_and_repo}/"
            path = request.url.path
            anybody = path == "/api/validate-yaml" or (request.method in ("GET", "HEAD") and "whoami" not in path)
            if not anybody and not path.startswith((mine, f"/{kind_and_repo}.git/")):
                self.refused.append(path)
                return JSONResponse({"error": "this token is for another repo"}, 403)
            headers["authorization"] = f"Bearer {os.environ['HF_TOKEN']}"
        address = f"{self.behind}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        async with httpx2.AsyncClient(timeout=60) as client:
            answer = await client.request(request.method, address, headers=headers, content=await request.body())
        kept = {name: value for name, value in answer.headers.items() if name not in DROPPED}
        if request.method == "HEAD":
            kept["content-length"] = answer.headers.get("content-length", "0")
        return Response(answer.content, answer.status_code, kept)


@contextmanager
def exchanging(behind: str, *trusted: str) -> Iterator[tuple[Exchange, dict[str, str]]]:
    """The exchange, and the environment of a job on GitHub."""
    exchange = Exchange(behind, set(trusted))
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
    app = Starlette(
        routes=[
            Route("/identity", exchange.identity),
            Route("/oauth/token", exchange.token, methods=["POST"]),
            Route("/{path:path}", exchange.forward, methods=methods),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    started, startup = threading.Event(), server.startup

    async def startup_then_tell(sockets: object = None) -> None:
        await startup(sockets)  # pyright: ignore[reportArgumentType]
        started.set()

    server.startup = startup_then_tell
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(10)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    job = {
        "HF_ENDPOINT": address,
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{address}/identity",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": RUNNER_TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }
    try:
        yield exchange, job
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def recipe(name: str, tmp_path: Path) -> str:
    source = {"kind": "problems", "families": ["queue"], "rows": 3}
    path = tmp_path / "recipe.yaml"
    tree = {
        "name": name,
        "namespace": "local",
        "languages": ["ru"],
        "engines": {"none": {"kind": "openai", "model": "tiny/none", "url": "http://127.0.0.1:9/v1"}},
        "prompts": {"sources": [source]},
        "generate": {"engine": "none"},
        "train": {"student": "tiny/none"},
        "evaluate": {
            "engine": "none",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "same", "source": source}],
        },
    }
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def prompts(recipe: str, job: dict[str, str], resource: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **job, "HF_OIDC_RESOURCE": resource}
    environment.pop("HF_TOKEN")
    line = [sys.executable, "-m", "pipelines", "prompts", recipe]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_stage_publishes_with_no_token_but_the_one_it_exchanges(hub_server: str, name: str, recipe: str) -> None:
    repo = f"local/{name}-prompts"
    connected = hub.connect(None)
    connected.create(repo, "dataset", private=False)
    with exchanging(hub_server, f"datasets/{repo}") as (exchange, job):
        ended = prompts(recipe, job, f"datasets/{repo}")
    assert ended.returncode == 0, ended.stderr
    assert exchange.refused == []
    assert set(exchange.tokens.values()) == {f"datasets/{repo}"}
    facts = connected.need(repo, "dataset", "prompts").facts
    assert facts
    assert facts.complete
    published = connected.snapshot(repo, "dataset")
    assert published
    texts = [connected.text(repo, "dataset", published.revision, path) for path in ("README.md", "run/prompts.json")]
    assert not [token for token in exchange.tokens if token in json.dumps(texts) + ended.stdout + ended.stderr]


def test_a_repo_that_is_not_there_is_to_be_created_by_hand(hub_server: str, name: str, recipe: str) -> None:
    with exchanging(hub_server, f"datasets/local/{name}-prompts") as (_, job):
        ended = prompts(recipe, job, f"datasets/local/{name}-prompts")
    assert ended.returncode == 1
    assert "create it once by hand" in ended.stderr


def test_a_job_that_is_not_trusted_is_told_so_in_a_line(hub_server: str, name: str, recipe: str) -> None:
    with exchanging(hub_server) as (_, job):
        ended = prompts(recipe, job, f"datasets/local/{name}-prompts")
    assert ended.returncode == 1
    assert "Trusted Publisher" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_each_of_two_repos_is_written_with_a_token_of_its_own(
    hub_server: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As *evaluate* writes its results and the model's card."""
    connected = hub.connect(None)
    connected.create(f"local/{name}", "model", private=False)
    connected.create(f"local/{name}", "dataset", private=False)
    with exchanging(hub_server, f"local/{name}", f"datasets/local/{name}") as (exchange, job):
        for variable, value in job.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("HF_OIDC_RESOURCE", f"datasets/local/{name}")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", job["HF_ENDPOINT"])
        publisher = hub.connect(None)
        for kind in ("dataset", "model", "dataset"):
            publisher.publish(f"local/{name}", kind, "a file", {f"{len(exchange.tokens)}.txt": b"text"})
    assert exchange.refused == []
    assert set(exchange.tokens.values()) == {f"local/{name}", f"datasets/local/{name}"}


def test_a_container_of_a_trusted_publisher_gets_no_token_but_what_it_takes_to_get_one(recipe: str) -> None:
    job = {
        "HF_OIDC_RESOURCE": "datasets/local/some-prompts",
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://runner.example/identity",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": RUNNER_TOKEN,
    }
    task = launch.specify("prompts", recipes.load(recipe), "", {**job, "HOME": "/somewhere"})
    assert task.secrets == job
    assert RUNNER_TOKEN not in repr(task)
