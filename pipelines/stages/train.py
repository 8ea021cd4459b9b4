"""Train: the chosen conversations and a student become a model on the Hub that thinks in their languages.

    python -m pipelines train RECIPE

The training itself runs in processes of its own (`pipelines.training`, under accelerate), so that this one stays small
and a crash there is a line here. Checkpoints go to a branch of the model's repo, and the same command goes on from
them. Where the recipe says `merge`, the trained weights averaged with the student's own are published as the branch
`merged`. With several machines the same command runs on each of them, and the first one publishes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines import cards, facts
from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.flow.budget import Cap
from pipelines.hub import Snapshot
from pipelines.recipe import Train, dump
from pipelines.records import Conversation
from pipelines.run import Run
from pipelines.screen import Bar, Screen
from pipelines.training import launch, merged, mixture, resumption
from pipelines.training.description import describe
from pipelines.training.job import Check, Job, Progress, Report, Row, Saved
from pipelines.training.launch import Place
from pipelines.training.resumption import Checkpoints
from pipelines.training.spending import Spending

KEPT = (".gitattributes",)
"""Files that this stage neither writes nor deletes. An evaluation of other weights is deleted with them."""


def run(run: Run) -> None:
    """What is up to date is left alone."""
    recipe, here = run.recipe.train, launch.place(run.recipe.train.machines)
    data = run.hub.need(run.chosen, "dataset", "choose")
    student = Input(
        repo=recipe.student, kind="model", revision=run.hub.revision(recipe.student, "model", recipe.revision)
    )
    before = run.hub.snapshot(run.model, "model", "train")
    if before and _up_to_date(before.facts, run.recipe.digest("train"), (data.input, student)):
        run.screen.say(f"train: {run.model} is up to date")
    else:
        _train(run, here, data, student, before)
    if run.recipe.merge and here.first:
        merged.publish(run, student)


def _train(run: Run, here: Place, data: Snapshot, student: Input, before: Snapshot | None) -> None:
    recipe, inputs = run.recipe.train, (data.input, student)
    checkpoint = resumption.find(run, inputs)
    spending = Spending(student.repo, run.recipe.prices, checkpoint.facts if checkpoint else None)
    cap = Cap(run, "train", lambda: ([], [spending.read()], spending.seconds))
    cap.open()
    if over := cap.over():
        raise cap.spent(over)
    weights = run.hub.folder(student.repo, "model", student.revision, ignore=("*.gguf",))
    with TemporaryDirectory(prefix="thinkin-train-") as folder:
        resume = resumption.fetch(run, checkpoint) if checkpoint else None
        job = write_job(Path(folder), run, student, weights, resume)
        write_rows(Path(job.rows), run, data)

        def heed(progress: Progress) -> None:
            spending.gpus = progress.gpus
            if job.save_every is not None and cap.over():
                job.stop.touch()

        with Checkpoints(run, inputs, student, spending) as checkpoints:
            report = train_apart(job, recipe, run.screen, here, checkpoints.offer, heed)
            if report is None and job.stop.exists():
                checkpoints.settle()
                raise cap.spent(cap.over())
        if report is None:
            run.screen.say("train: this machine has done its part; the first one publishes")
        else:
            made = _facts(run, inputs, report, spending)
            _publish(run, made, Path(job.output), before)
            checkpoints.drop()
            run.screen.say(f"train: {run.model} is published, {run.hub.address(run.model, 'model')}")


def _up_to_date(made: Facts | None, digest: str, inputs: tuple[Input, ...]) -> bool:
    return made is not None and made.complete and made.digest == digest and made.inputs == inputs


def write_rows(path: Path, run: Run, data: Snapshot) -> None:
    """The rows that the recipe's mixture asks for, each as often as it is shown in an epoch, one a line."""

    def rows() -> Iterator[Conversation]:
        return run.hub.rows(data, Conversation, "data", run.recipe.languages)

    mix = run.recipe.train.mix
    wanted = mixture.ids(rows(), mix)
    if not wanted:
        raise StageError(
            f"{data.repo} has no row of {', '.join(mix.chains)} chains in {', '.join(run.recipe.languages)}: "
            "loosen `judge` or `choose`, or add prompts"
        )
    if mix.english and mixture.ENGLISH not in wanted:
        raise StageError(f"train.mix.english is {mix.english}, and {data.repo} has no English chain: add prompts in en")
    with path.open("w", encoding="utf-8") as file:
        for row in mixture.drawn(rows(), mixture.copies(wanted, mix, run.recipe.seed)):
            messages = tuple(message.model_dump() for message in row.messages)
            file.write(Row(id=row.id, language=row.language, messages=messages).model_dump_json() + "\n")


def write_job(folder: Path, run: Run, student: Input, weights: Path, resume: Path | None) -> Job:
    recipe = run.recipe.train
    template = recipe.template
    job = Job(
        name=run.recipe.name,
        student=str(weights),
        student_repo=student.repo,
        student_revision=student.revision,
        rows=str(folder / "rows.jsonl"),
        output=str(folder / "model"),
        template=str(Path(template).resolve()) if template and Path(template).is_file() else template,
        lora=recipe.lora.model_dump() if recipe.lora else None,
        cut=recipe.cut,
        seed=run.recipe.seed,
        sft=recipe.sft,
        save_every=run.recipe.checkpoints.minutes * 60 if launch.one_disk(recipe) else None,
        resume=str(resume) if resume else None,
    )
    (folder / "job.json").write_text(job.model_dump_json(), "utf-8")
    return job


def train_apart(
    job: Job,
    recipe: Train,
    screen: Screen,
    here: Place,
    offer: Callable[[Saved], None],
    heed: Callable[[Progress], None],
) -> Report | None:
    """Run the training process to its end, show its progress and offer its checkpoints. The first machine reports,
    unless `heed` had the training stopped."""
    folder = Path(job.output).parent
    command = launch.command(recipe, folder / "job.json", here)
    with launch.started(command, folder / "training.log") as process:
        events = launch.events(process)
        for event in events:
            if event["event"] == "refused":
                raise StageError(f"training refused: {event['why']}")
            if event["event"] == "checked":
                for line in describe(Check.model_validate(event["check"], strict=False)):
                    screen.say(f"train: {line}")
            if event["event"] == "progress":
                begun = Progress.model_validate(event["progress"], strict=False)
                heed(begun)
                with screen.bar("train", begun.steps) as bar:
                    _follow(events, bar, offer, heed)
    reports = job.report.exists()
    if process.returncode or here.first != (reports or job.stop.exists()):
        log = (folder / "training.log").read_text("utf-8", "replace")
        raise StageError(f"training failed: {launch.reason(process.returncode, log)}")
    return Report.model_validate_json(job.report.read_text("utf-8"), strict=False) if reports else None


def _follow(
    events: Iterable[Mapping[str, Any]], bar: Bar, offer: Callable[[Saved], None], heed: Callable[[Progress], None]
) -> None:
    done = 0
    for event in events:
        if event["event"] == "refused":
            raise StageError(f"training refused: {event['why']}")
        if event["event"] == "saved":
            offer(Saved.model_validate(event["saved"], strict=False))
            continue
        progress = Progress.model_validate(event["progress"], strict=False)
        heed(progress)
        notes = [
            f"loss {progress.loss:.3f}" if progress.loss is not None else "",
            f"{progress.tokens_per_second:.0f} tokens/s" if progress.tokens_per_second else "",
            f"{progress.memory:.1f} GB" if progress.memory else "",
        ]
        bar.advance(progress.step - done, ", ".join(filter(None, notes)))
        done = progress.step


def _facts(run: Run, inputs: tuple[Input, ...], report: Report, spending: Spending) -> Facts:
    languages = report.check.measure.languages
    return Facts(
        stage="train",
        recipe=run.recipe.name,
        digest=run.recipe.digest("train"),
        complete=True,
        inputs=inputs,
        counts={language: {"rows": count.rows, "cut": count.cut} for language, count in languages.items()},
        spent=(spending.read(),),
        seconds=spending.seconds,
        updated=facts.now(),
        machine=facts.machine(),
        source=facts.source(),
        image=facts.image(),
        licences={repo: said for read in inputs for repo, said in run.hub.licences(read).items()},
        history=run.hub.history(inputs),
        details={
            "template": report.check.template,
            "why": report.check.why,
            "sft": dict(report.arguments),
            "lora": run.recipe.train.lora.model_dump(mode="json") if run.recipe.train.lora else None,
            "steps": report.steps,
            "tokens": report.tokens,
            "training_seconds": round(report.seconds, 1),
            "resumed": report.resumed,
            "loss": [list(point) for point in report.loss],
            "check": report.check.model_dump(mode="json"),
        },
    )


def _publish(run: Run, made: Facts, model: Path, before: Snapshot | None) -> None:
    """The model, its card and its facts in one commit, on top of what was seen at the start, or of a card that was
    edited since."""
    if before is None:
        run.hub.create(run.model, "model", run.recipe.private)
        before = run.hub.snapshot(run.model, "model")
    elif (now := run.hub.snapshot(run.model, "model", "train")) and now.facts == before.facts:
        before = now
    files: dict[str, bytes | Path] = {
        path.relative_to(model).as_posix(): path for path in sorted(model.rglob("*")) if path.is_file()
    }
    files["README.md"] = cards.model_card(run, made, before=run.hub.card(before) if before else "").encode()
    files["run/recipe.yaml"] = dump(run.recipe).encode()
    files["run/train.json"] = made.model_dump_json(indent=2).encode()
    stale = [path for path in (before.files if before else ()) if path not in files and path not in KEPT]
    parent = before.revision if before else None
    run.hub.publish(run.model, "model", f"Train {made.recipe}", files, delete=stale, parent=parent)
