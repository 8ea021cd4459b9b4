"""Run a workflow of ours on this machine with act, and read what it did.

Jobs run on the host, without containers. Actions of others are replaced by stubs, but for checkout, which act emulates.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = ROOT / ".github/workflows"
ACT = Path(sys.executable).parent / "act"
STUBS = Path(__file__).parent / "stubs"


@dataclass(frozen=True, slots=True)
class Acted:
    code: int
    events: tuple[dict[str, Any], ...]
    stderr: str

    def results(self) -> dict[str, list[str]]:
        """success or failure of each job that ran, by its name in the workflow; of all its parts, where it has many."""
        found: dict[str, list[str]] = {}
        for event in self.events:
            if "jobResult" in event:
                first, second, *_ = event["job"].split("/")
                name = re.sub(r"-\d+$", "", (second if first == "pipeline" else first).strip())
                found.setdefault(name, []).append(event["jobResult"])
        return found

    def summary(self) -> str:
        """What the jobs wrote for the page of the run."""
        return "\n".join(event["content"] for event in self.events if event.get("command") == "summary")

    def failed(self) -> list[str]:
        """The steps that failed, by their names."""
        return [event["step"] for event in self.events if event.get("stepResult") == "failure"]

    def log(self) -> str:
        """act may lose the last lines of a step that ends at once, so that nothing proves what stands there."""
        return "\n".join(str(event.get("msg", "")).rstrip() for event in self.events)


def dispatch(
    workflow: str | Path,
    inputs: Mapping[str, str],
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
    home: Path,
    environment: Mapping[str, str] | None = None,
) -> Acted:
    """Press "Run workflow". `home` is that of the runner, where act's log stays; `environment` the runner's own."""
    command = [str(ACT), "workflow_dispatch", "-W", str(WORKFLOWS / workflow)]
    command += ["-P", "self-hosted=-self-hosted", "--pull=false", "--json"]
    for uses in stubbed():
        command += ["--local-repository", f"{uses}={STUBS / uses.split('@')[0].rpartition('/')[2]}"]
    command += [part for name, value in inputs.items() for part in ("--input", f"{name}={value}")]
    command += [part for name, value in variables.items() for part in ("--var", f"{name}={value}")]
    file = home / "secrets"
    file.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    command += ["--secret-file", str(file)]
    # jobs on the host see all that act sees: nothing but what a runner has
    runner = {"PATH": os.environ["PATH"], "HOME": str(home), "THINKIN_PYTHON": sys.executable, **(environment or {})}
    ended = subprocess.run(command, cwd=ROOT, env=runner, capture_output=True, text=True, timeout=600, check=False)
    (home / f"{len(list(home.glob('*.jsonl')))}.jsonl").write_text(ended.stdout + ended.stderr)  # to look at later
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    return Acted(ended.returncode, tuple(json.loads(line) for line in lines), ended.stderr)


def script(workflow: str, job: str, step: str) -> list[str]:
    """The command that GitHub runs for a step with `shell: bash`."""
    steps = yaml.safe_load((WORKFLOWS / workflow).read_text("utf-8"))["jobs"][job]["steps"]
    (found,) = [it for it in steps if it.get("name") == step]
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]


def inlined(folder: Path) -> Path:
    """pipeline.yml with stage.yml's job in the place of each call of it.

    act ends a run at the first called workflow that fails (nektos/act#1793), where GitHub goes on with the jobs whose
    condition wants it so; for a job of the workflow's own act does so, too.
    """
    pipeline, stage = (
        yaml.safe_load(re.sub(r"^on:", "'on':", (WORKFLOWS / f"{name}.yml").read_text("utf-8"), flags=re.MULTILINE))
        for name in ("pipeline", "stage")  # YAML 1.1 reads on as true
    )
    defaults = {name: told.get("default", "") for name, told in stage["on"]["workflow_call"]["inputs"].items()}
    for name, job in pipeline["jobs"].items():
        if "uses" in job:
            kept = {key: job[key] for key in ("needs", "if", "strategy")}
            pipeline["jobs"][name] = (
                _filled(stage["jobs"]["stage"], {**defaults, **job["with"]}) | kept | {"name": name}
            )
    file = folder / "pipeline.yml"
    file.write_text(yaml.safe_dump(pipeline, sort_keys=False), "utf-8")
    return file


def _filled(part: Any, given: Mapping[str, str]) -> Any:
    """A part of a called workflow with what the caller gives in the place of its inputs."""
    if isinstance(part, dict):
        return {key: _filled(value, given) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, given) for value in part]
    return re.sub(r"\binputs\.([\w-]+)", lambda found: _term(given[found[1]]), part) if isinstance(part, str) else part


def _term(value: str) -> str:
    """As a part of an expression."""
    return value[3:-2].strip() if value.startswith("${{") else f"'{value}'"


def stubbed() -> set[str]:
    """The actions of others that our workflows and actions use, with their versions, and that have a stub here."""
    found = set[str]()
    for path in (*WORKFLOWS.glob("*.yml"), *ROOT.glob(".github/actions/*/action.yml")):
        tree = yaml.safe_load(path.read_text("utf-8"))
        jobs = [*tree.get("jobs", {}).values(), tree.get("runs", {})]
        found |= {step["uses"] for job in jobs for step in job.get("steps", ()) if "uses" in step}
    return {uses for uses in found if (STUBS / uses.split("@")[0].rpartition("/")[2]).is_dir()}
