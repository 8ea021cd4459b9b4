"""Train: the chosen conversations and a student become a model on the Hub that thinks in their languages.

    python -m pipelines train RECIPE

The training itself runs in processes of its own (`pipelines.training`, under accelerate), so that this one stays small
and a crash there is a line here. Checkpoints go to a branch of the model's repo, and the same command goes on from
them. Where the recipe says `merge`, the trained weights averaged with the student's own are published as the branch
`merged`. With several machines the same command runs on each of them, and the first one publishes.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Snapshot
from pipelines.records import Conversation
from pipelines.run import Run
from pipelines.training import apart, launch, merged, mixture, resumption
from pipelines.training.job import Job, Report, Row
from pipelines.training.launch import Place
from pipelines.training.spending import Spending


def run(run: Run) -> None:
    """What is up to date is left alone."""
    recipe, here = run.recipe.train, launch.place(run.recipe.train.machines)
    data = run.hub.need(run.chosen, "dataset", "choose")
    student = Input(
        repo=recipe.student, kind="model", revision=run.hub.revision(recipe.student, "model", recipe.revision)
    )
    before = run.hub.snapshot(run.model, "model", "train")
    if before and apart.up_to_date(before.facts, run.recipe.digest("train"), (data.input, student)):
        run.screen.say(f"train: {run.model} is up to date")
    else:
        _train(run, here, data, student, before)
    if run.recipe.merge and here.first:
        merged.publish(run, student)


def _train(run: Run, here: Place, data: Snapshot, student: Input, before: Snapshot | None) -> None:
    recipe, inputs = run.recipe.train, (data.input, student)
    checkpoint = resumption.find(run, "train", inputs)
    spending = Spending(student.repo, run.recipe.prices, checkpoint.facts if checkpoint else None)
    cap = apart.capped(run, "train", spending)
    weights = run.hub.folder(student.repo, "model", student.revision, ignore=("*.gguf",))
    with TemporaryDirectory(prefix="thinkin-train-") as folder:
        resume = resumption.fetch(run, checkpoint) if checkpoint else None
        job = write_job(Path(folder), run, student, weights, resume)
        write_rows(Path(job.rows), run, data)

        def publish(told: str) -> None:
            report = Report.model_validate_json(told, strict=False)
            apart.publish(run, _facts(run, inputs, report, spending), Path(job.output), before)

        apart.run(run, "train", job, recipe, here, apart.Watched(inputs, student, spending, cap), publish)


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
    return Job(
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


def _facts(run: Run, inputs: tuple[Input, ...], report: Report, spending: Spending) -> Facts:
    languages = report.check.measure.languages
    counts = {language: {"rows": count.rows, "cut": count.cut} for language, count in languages.items()}
    details = {
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
    }
    return apart.made(run, "train", inputs, spending, counts, details)
