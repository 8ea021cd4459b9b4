"""A stage on GitHub's runners or your own: pipeline.yml is dispatched there, and its run waited for.

The run belongs to GitHub: it goes on when the waiting is broken off.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from pipelines.errors import LaunchFailed, RecipeError, StageError
from pipelines.recipe import Stage
from pipelines.screen import Screen

WORKFLOW = "pipeline.yml"
POLL = 10.0
"""Seconds between two looks at a run; GitHub allows 5,000 requests an hour."""
LOOKS = 30
"""So many looks in a row may fail before the waiting ends: a run takes hours, and networks fail for minutes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to dispatch."""

    repository: str
    ref: str
    """A branch or a tag, as GitHub has it."""
    token: str


def place() -> Place:
    """This clone's repository and branch on GitHub, unless GITHUB_REPOSITORY and GITHUB_REF_NAME say otherwise."""
    token = os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN")
    if not token:
        raise StageError("there is no token for GitHub: set GITHUB_TOKEN to one that may write actions")
    origin = re.search(r"[:/]([^/:]+/[^/]+?)(?:\.git)?/?$", _git("remote", "get-url", "origin"))
    repository = os.environ.get("GITHUB_REPOSITORY") or (origin[1] if origin else "")
    ref = os.environ.get("GITHUB_REF_NAME") or _git("branch", "--show-current")
    if not repository or not ref:
        raise StageError("which repository and branch? Run this in a clone, or set GITHUB_REPOSITORY, GITHUB_REF_NAME")
    return Place(repository, ref, token)


def inputs(
    stage: Stage, recipe: str, limit: int | None, languages: str | None, overrides: Sequence[str], more: Sequence[str]
) -> dict[str, str]:
    """What to fill into the form of pipeline.yml; `more` are further inputs of it, as NAME=VALUE."""
    filled = {"recipe": recipe, "from": stage, "to": stage, "languages": languages or "", "limit": str(limit or "")}
    for override in overrides:
        if not override.startswith("namespace="):
            raise RecipeError(f"--set {override}: on actions only the namespace can be set; commit it to the recipe")
    for pair in (*overrides, *more):
        name, equals, value = pair.partition("=")
        if not equals:
            raise RecipeError(f"--input {pair}: write NAME=VALUE, such as gpu-runner=a100")
        filled[name] = value
    return {name: value for name, value in filled.items() if value}


def run(where: Place, inputs: Mapping[str, str], screen: Screen, poll: float = POLL) -> None:
    """Dispatch with `inputs` and wait. Raises LaunchFailed where the run did not succeed."""
    with _client(where) as client:
        number, page = _dispatch(client, where, inputs)
        screen.say(f"dispatched: {page}")
        try:
            conclusion = _wait(client, number, screen, poll)
        except KeyboardInterrupt:
            screen.say(f"the run goes on without you: {page}")
            raise
        if conclusion != "success":
            failed = ", ".join(_failed(client, number)) or "no job"
            raise LaunchFailed(f"the run ended as {conclusion} ({failed}): press 'Re-run failed jobs' at {page}")
    screen.say(f"finished: {page}")


def _client(where: Place) -> httpx2.Client:
    address = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {where.token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return httpx2.Client(base_url=f"{address}/repos/{where.repository}/actions/", headers=headers, timeout=30)


def _dispatch(client: httpx2.Client, where: Place, inputs: Mapping[str, str]) -> tuple[int, str]:
    """The number of the run that was started, and its page."""
    body = {"ref": where.ref, "inputs": dict(inputs), "return_run_details": True}
    try:
        answer = client.post(f"workflows/{WORKFLOW}/dispatches", json=body)
    except httpx2.TransportError as error:
        raise StageError(f"GitHub does not answer at {client.base_url} ({type(error).__name__}): try again") from None
    if answer.status_code == 204:
        raise StageError("dispatched, but this GitHub does not tell which run it is: look at its page of actions")
    told = _json(answer)
    if answer.status_code != 200 or "workflow_run_id" not in told:
        reason = f"{answer.status_code} {told.get('message', '')}".strip()
        raise StageError(f"GitHub did not dispatch {WORKFLOW} in {where.repository} on {where.ref}: {reason}")
    return int(told["workflow_run_id"]), str(told["html_url"])


def _wait(client: httpx2.Client, number: int, screen: Screen, poll: float) -> str:
    """Look until the run has come to its end; its conclusion."""
    before, missed = "", 0
    while True:
        told = _look(client, f"runs/{number}")
        missed = 0 if told else missed + 1
        if missed == LOOKS:
            raise StageError("GitHub does not answer any more; the run goes on there")
        status = str(told.get("status", before))
        if status == "completed":
            return str(told["conclusion"])
        if status != before:
            screen.say("waiting for an approval" if status == "waiting" else status.replace("_", " "))
        before = status
        time.sleep(poll)


def _failed(client: httpx2.Client, number: int) -> list[str]:
    told = _look(client, f"runs/{number}/jobs?filter=latest&per_page=100")
    return [job["name"] for job in told.get("jobs", []) if job.get("conclusion") not in ("success", "skipped")]


def _look(client: httpx2.Client, path: str) -> dict[str, Any]:
    """What GitHub tells at a path; nothing where it does not answer for now."""
    try:
        answer = client.get(path)
    except httpx2.TransportError:
        return {}
    if answer.status_code in (401, 403, 404) and "rate limit" not in answer.text:
        raise StageError(f"GitHub does not show the run any more ({answer.status_code}): check the token")
    return _json(answer) if answer.status_code == 200 else {}


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _git(*words: str) -> str:
    if not shutil.which("git"):
        return ""
    asked = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607 - fixed words, git of the PATH
    return asked.stdout.strip()
