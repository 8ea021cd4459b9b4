"""Train: the chosen conversations and a student become a model on the Hub that thinks in their languages.

    python -m pipelines train RECIPE

The training itself runs in processes of its own (`pipelines.training`, under accelerate), so that this one stays small
and a crash there is a line here.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines import cards, facts
from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Snapshot
from pipelines.recipe import Train, dump
from pipelines.records import Conversation
from pipelines.run import Run
from pipelines.screen import Bar, Screen
from pipelines.trainjob import Check, Job, Progress, Report, Row

ROOT = Path(__file__).parents[2]
KEPT = (".gitattributes",)
"""Files that this stage neither writes nor deletes. An evaluation of other weights is deleted with them."""

_ERROR = re.compile(r"^(?:\[\w+\]:\s*)?([\w.]*(?:Error|Exception|Interrupt)\b.*)")
_LAUNCHER = ("ChildFailedError", "CalledProcessError", "RuntimeError: Subprocess")


def run(run: Run) -> None:
    started = time.monotonic()
    recipe = run.recipe.train
    data = run.hub.need(run.chosen, "dataset", "choose")
    student = Input(
        repo=recipe.student, kind="model", revision=run.hub.revision(recipe.student, "model", recipe.revision)
    )
    inputs = (data.input, student)
    before = run.hub.snapshot(run.model, "model", "train")
    if before and _up_to_date(before.facts, run.recipe.digest("train"), inputs):
        run.screen.say(f"train: {run.model} is up to date")
        return
    rows = list(run.hub.rows(data, Conversation, "data", run.recipe.languages))
    if not rows:
        languages = ", ".join(run.recipe.languages)
        raise StageError(f"{data.repo} has no row in {languages}: loosen `judge` or `choose`, or add prompts")
    weights = run.hub.folder(student.repo, "model", student.revision, ignore=("*.gguf",))
    with TemporaryDirectory(prefix="thinkin-train-") as folder:
        job = write_job(Path(folder), recipe, student, weights, rows, run.recipe.seed)
        report = train_apart(job, recipe, run.screen)
        made = _facts(run, inputs, report, time.monotonic() - started)
        _publish(run, made, Path(job.output), before)
    run.screen.say(f"train: {run.model} is published, {run.hub.address(run.model, 'model')}")


def _up_to_date(made: Facts | None, digest: str, inputs: tuple[Input, ...]) -> bool:
    return made is not None and made.complete and made.digest == digest and made.inputs == inputs


def write_job(
    folder: Path, recipe: Train, student: Input, weights: Path, conversations: Sequence[Conversation], seed: int
) -> Job:
    """Put the rows and the job into the work folder."""
    rows = [
        Row(id=row.id, language=row.language, messages=tuple(message.model_dump() for message in row.messages))
        for row in conversations
    ]
    template = recipe.template
    job = Job(
        student=str(weights),
        student_repo=student.repo,
        student_revision=student.revision,
        rows=str(folder / "rows.jsonl"),
        output=str(folder / "model"),
        template=str(Path(template).resolve()) if template and Path(template).is_file() else template,
        lora=recipe.lora.model_dump() if recipe.lora else None,
        cut=recipe.cut,
        seed=seed,
        sft=recipe.sft,
    )
    Path(job.rows).write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    (folder / "job.json").write_text(job.model_dump_json(), "utf-8")
    return job


def command(recipe: Train, job: Path) -> list[str]:
    """How the training process is started: as it is, or under accelerate with one of the shipped configs."""
    if recipe.accelerate == "single":
        return [sys.executable, "-m", "pipelines.training", str(job)]
    config = ROOT / "pipelines" / "accelerate" / f"{recipe.accelerate}.yaml"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    return [*launch, "--num_processes", str(recipe.processes), "-m", "pipelines.training", str(job)]


def train_apart(job: Job, recipe: Train, screen: Screen) -> Report:
    """Run the training process to its end and show its progress."""
    folder = Path(job.output).parent
    with _process(command(recipe, folder / "job.json"), folder / "training.log") as process:
        events = _events(process)
        for event in events:
            if event["event"] == "refused":
                raise StageError(f"training refused: {event['why']}")
            if event["event"] == "checked":
                _show(Check.model_validate(event["check"], strict=False), screen)
            if event["event"] == "progress":
                steps = Progress.model_validate(event["progress"], strict=False).steps
                with screen.bar("train", steps) as bar:
                    _follow(events, bar)
    if process.returncode or not job.report.exists():
        log = (folder / "training.log").read_text("utf-8", "replace")
        raise StageError(f"training failed: {reason(process.returncode, log)}")
    return Report.model_validate_json(job.report.read_text("utf-8"), strict=False)


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, with what it logs in a file; it does not outlive the block."""
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as process,  # noqa: S603
    ):
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def _events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What the process tells; a line that is no event was printed by a library."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            yield event


def _follow(events: Iterator[dict[str, Any]], bar: Bar) -> None:
    done = 0
    for event in events:
        progress = Progress.model_validate(event["progress"], strict=False)
        note = f"loss {progress.loss:.3f}" if progress.loss is not None else ""
        if progress.tokens_per_second:
            note += f", {progress.tokens_per_second:.0f} tokens/s"
        bar.advance(progress.step - done, note)
        done = progress.step


def _show(check: Check, screen: Screen) -> None:
    """The check's summary and one row, with what is trained told apart from what is only read."""
    sums = [(t.rows, t.tokens, t.trained, t.cut) for t in check.languages.values()]
    rows, tokens, trained, cut = (sum(column) for column in zip(*sums, strict=True))
    screen.say(
        f"train: {rows} rows, {tokens} tokens, {trained} of them trained; the longest row has {check.longest}, "
        f"{cut} are cut; chat template: {check.template} ({check.why}). A row, as the student sees it:"
    )
    for part in check.excerpt:
        mark = "trained  | " if part.trained else "not      | "
        screen.say("\n".join(mark + line for line in part.text.splitlines()))


def reason(code: int, log: str) -> str:
    """Why the process ended, in a line: the last error in its log that is not the launcher's own."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.match(line)) and not any(x in line for x in _LAUNCHER)]
    if errors:
        return errors[-1][:500]
    if code < 0:
        killed = signal.Signals(-code).name
        return f"it was ended by {killed}" + (", most likely for want of memory" if killed == "SIGKILL" else "")
    return f"exit code {code}; the log ends: {' / '.join(lines[-3:])[-500:]}"


def _facts(run: Run, inputs: tuple[Input, ...], report: Report, seconds: float) -> Facts:
    languages = report.check.languages
    return Facts(
        stage="train",
        recipe=run.recipe.name,
        digest=run.recipe.digest("train"),
        complete=True,
        inputs=inputs,
        counts={language: {"rows": count.rows, "cut": count.cut} for language, count in languages.items()},
        seconds=seconds,
        updated=facts.now(),
        machine=facts.machine(),
        source=facts.source(),
        details={
            "template": report.check.template,
            "why": report.check.why,
            "sft": dict(report.arguments),
            "lora": run.recipe.train.lora.model_dump(mode="json") if run.recipe.train.lora else None,
            "steps": report.steps,
            "tokens": report.tokens,
            "training_seconds": round(report.seconds, 1),
            "loss": [list(point) for point in report.loss],
            "check": report.check.model_dump(mode="json"),
        },
    )


def _publish(run: Run, made: Facts, model: Path, before: Snapshot | None) -> None:
    """The model, its card and its facts in one commit, on top of what was seen at the start."""
    if before is None:
        run.hub.create(run.model, "model", run.recipe.private)
        before = run.hub.snapshot(run.model, "model")
    files: dict[str, bytes | Path] = {
        path.relative_to(model).as_posix(): path for path in sorted(model.rglob("*")) if path.is_file()
    }
    files["README.md"] = cards.model_card(run, made, (), ()).encode()
    files["run/recipe.yaml"] = dump(run.recipe).encode()
    files["run/train.json"] = made.model_dump_json(indent=2).encode()
    stale = [path for path in (before.files if before else ()) if path not in files and path not in KEPT]
    parent = before.revision if before else None
    run.hub.publish(run.model, "model", f"Train {made.recipe}", files, delete=stale, parent=parent)
