"""A training from the stage's side: begun where the budget allows, followed to its end, published."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import cards, facts
from pipelines.errors import StageError
from pipelines.facts import Counts, Facts, Input
from pipelines.flow.budget import Cap
from pipelines.hub import Snapshot
from pipelines.recipe import Launched, Stage, dump
from pipelines.run import Run
from pipelines.screen import Bar, Screen
from pipelines.training import launch
from pipelines.training.description import describe
from pipelines.training.job import Check, Progress, Saved, Training
from pipelines.training.launch import Place
from pipelines.training.resumption import Checkpoints
from pipelines.training.spending import Spending

KEPT = (".gitattributes",)
"""Files that a training neither writes nor deletes. An evaluation of other weights is deleted with them."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a training is made from and may take."""

    inputs: tuple[Input, ...]
    student: Input
    spending: Spending
    cap: Cap


def capped(run: Run, stage: Stage, spending: Spending) -> Cap:
    """The recipe's budget; BudgetSpent where nothing of it is left to begin with."""
    cap = Cap(run, stage, lambda: ([], [spending.read()], spending.seconds))
    cap.open()
    if over := cap.over():
        raise cap.spent(over)
    return cap


def up_to_date(made: Facts | None, digest: str, inputs: tuple[Input, ...]) -> bool:
    return made is not None and made.complete and made.digest == digest and made.inputs == inputs


def run(
    run: Run,
    stage: Stage,
    job: Training,
    recipe: Launched,
    here: Place,
    watched: Watched,
    publish: Callable[[str], None],
) -> None:
    """The whole of it: with checkpoints on the Hub, stopped where the budget is spent, and `publish` called with the
    first machine's report."""
    spending, cap, repo = watched.spending, watched.cap, run.written(stage)[0]

    def heed(progress: Progress) -> None:
        spending.gpus = progress.gpus
        if job.save_every is not None and cap.over():
            job.stop.touch()

    with Checkpoints(run, stage, watched.inputs, watched.student, spending) as checkpoints:
        told = train(job, recipe, stage, run.screen, here, checkpoints.offer, heed)
        if told is None and job.stop.exists():
            checkpoints.settle()
            raise cap.spent(cap.over())
    if told is None:
        run.screen.say(f"{stage}: this machine has done its part; the first one publishes")
        return
    publish(told)
    checkpoints.drop()
    run.screen.say(f"{stage}: {repo} is published, {run.hub.address(repo, 'model')}")


def train(
    job: Training,
    recipe: Launched,
    stage: Stage,
    screen: Screen,
    here: Place,
    offer: Callable[[Saved], None],
    heed: Callable[[Progress], None],
) -> str | None:
    """Run the training process to its end, show its progress and offer its checkpoints. Returns the first machine's
    report, as JSON, unless `heed` had the training stopped."""
    folder = Path(job.output).parent
    (folder / "job.json").write_text(job.model_dump_json(), "utf-8")
    command = launch.command(recipe, folder / "job.json", here)
    with launch.started(command, folder / "training.log") as process:
        events = _heard(launch.events(process), stage)
        for event in events:
            if event["event"] == "checked":
                for line in describe(Check.model_validate(event["check"], strict=False)):
                    screen.say(f"{stage}: {line}")
            if event["event"] == "said":
                screen.say(f"{stage}: {event['line']}")
            if event["event"] == "progress":
                begun = Progress.model_validate(event["progress"], strict=False)
                heed(begun)
                with screen.bar(stage, begun.steps) as bar:
                    _follow(events, bar, offer, heed)
    reports = job.report.exists()
    if process.returncode or here.first != (reports or job.stop.exists()):
        log = (folder / "training.log").read_text("utf-8", "replace")
        raise StageError(f"{stage} failed: {launch.reason(process.returncode, log)}")
    return job.report.read_text("utf-8") if reports else None


def _heard(events: Iterable[Mapping[str, Any]], stage: Stage) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if event["event"] == "refused":
            raise StageError(f"{stage} refused: {event['why']}")
        yield event


def _follow(
    events: Iterable[Mapping[str, Any]],
    bar: Bar,
    offer: Callable[[Saved], None],
    heed: Callable[[Progress], None],
) -> None:
    done = 0
    for event in events:
        if event["event"] == "saved":
            offer(Saved.model_validate(event["saved"], strict=False))
            continue
        progress = Progress.model_validate(event["progress"], strict=False)
        heed(progress)
        notes = [
            f"reward {progress.reward:.3f}" if progress.reward is not None else "",
            f"loss {progress.loss:.3f}" if progress.loss is not None else "",
            f"{progress.tokens_per_second:.0f} tokens/s" if progress.tokens_per_second else "",
            f"{progress.memory:.1f} GB" if progress.memory else "",
        ]
        bar.advance(progress.step - done, ", ".join(filter(None, notes)))
        done = progress.step


def made(
    run: Run,
    stage: Stage,
    inputs: tuple[Input, ...],
    spending: Spending,
    counts: Counts,
    details: Mapping[str, Any],
) -> Facts:
    """The facts of a training that came to its end."""
    return Facts(
        stage=stage,
        recipe=run.recipe.name,
        digest=run.recipe.digest(stage),
        complete=True,
        inputs=inputs,
        counts=counts,
        spent=(spending.read(),),
        seconds=spending.seconds,
        **facts.here(),
        licences={repo: said for read in inputs for repo, said in run.hub.licences(read).items()},
        history=run.hub.history(inputs),
        details=details,
    )


def publish(run: Run, made: Facts, model: Path, before: Snapshot | None) -> None:
    """The model, its card and its facts in one commit, on top of what was seen at the start, or of a card that was
    edited since."""
    stage: Stage = "reinforce" if made.stage == "reinforce" else "train"
    repo, _ = run.written(stage)
    if before is None:
        run.hub.create(repo, "model", run.recipe.private)
        before = run.hub.snapshot(repo, "model")
    elif (now := run.hub.snapshot(repo, "model", stage)) and now.facts == before.facts:
        before = now
    files: dict[str, bytes | Path] = {
        path.relative_to(model).as_posix(): path for path in sorted(model.rglob("*")) if path.is_file()
    }
    files["README.md"] = cards.model_card(run, made, before=run.hub.card(before) if before else "").encode()
    files["run/recipe.yaml"] = dump(run.recipe).encode()
    files[f"run/{stage}.json"] = made.model_dump_json(indent=2).encode()
    stale = [path for path in (before.files if before else ()) if path not in files and path not in KEPT]
    parent = before.revision if before else None
    run.hub.publish(repo, "model", f"{stage.capitalize()} {made.recipe}", files, delete=stale, parent=parent)
