"""Run facts: what made the rows of a repo, from what, and what it took. They travel with them, as run/STAGE.json."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.records import Record


class Input(Record):
    """A repo that was read, at the commit that was read."""

    repo: str
    kind: str
    revision: str


class Usage(Record):
    """What the models were asked for: requests that were answered, and the tokens of prompts and answers."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: "Usage") -> "Usage":
        return Usage(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


class Facts(Record):
    stage: str
    recipe: str
    digest: str
    """Of all in the recipe that these rows depend on (`Recipe.digest`)."""
    complete: bool
    """Whether the stage came to its end. Samples that failed do not stop it: they are counted in `failures`."""
    failures: int = 0
    inputs: tuple[Input, ...]
    models: tuple[Input, ...] = ()
    instructions: tuple[str, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = {}
    """Per language, rows by what became of them, in the order in which it happens."""
    usage: Usage = Usage()
    seconds: float = 0.0
    """Wall-clock time at work, over all sessions."""
    updated: str = ""
    machine: str = ""
    source: str = ""
    """The git commit of this application, as far as it is known."""
    details: Mapping[str, Any] = {}
    """What only this stage knows, for its card."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def machine() -> str:
    """Processor, cores and accelerator, as a person would name the machine in a table."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


@cache
def source() -> str:
    """The commit of this application: baked into an image as THINKIN_REVISION, or asked of git in a clone."""
    if revision := os.environ.get("THINKIN_REVISION"):
        return revision
    root = Path(__file__).parent.parent
    asked = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git of the PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""
