"""Reinforce: prompts that the teacher solves only sometimes, and the trained model -> NAME-STUDENT-reinforced.

    python -m pipelines reinforce RECIPE

TRL's GRPO, with the reward of `rewards`, in processes of its own as in *train*, with checkpoints as there. Which
prompts can teach anything is known from the candidates that were paid for: those of which some passed all checks and
some did not. What the model wrote on the way, with every reward, is published as NAME-rollouts.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines import cards, hub
from pipelines.errors import RecipeError, StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Snapshot
from pipelines.ids import key
from pipelines.recipe import Reinforce, dump
from pipelines.records import Conversation, Rollout, digest
from pipelines.rewards import worth_trying
from pipelines.run import Run
from pipelines.training import apart, launch, merged, resumption
from pipelines.training.job import Question, Reinforced, Reinforcement
from pipelines.training.launch import Place
from pipelines.training.spending import Spending
from pipelines.training.tally import Tally

PART = 1_000
"""Rollouts in a parquet file."""


def run(run: Run) -> None:
    """What is up to date is left alone."""
    recipe = run.recipe.reinforce
    if recipe is None:
        raise RecipeError("the recipe has no section reinforce: add one; `reinforce: {}` takes every default")
    here = launch.place(recipe.machines, stage="reinforce")
    data = run.hub.need(run.chosen, "dataset", "choose")
    student = merged.weights(run, run.hub.need(run.model, "model", "train"))
    before = run.hub.snapshot(run.reinforced, "model", "reinforce")
    if before and apart.up_to_date(before.facts, run.recipe.digest("reinforce"), (data.input, student)):
        run.screen.say(f"reinforce: {run.reinforced} is up to date")
    else:
        _reinforce(run, recipe, here, data, student, before)


def _reinforce(
    run: Run, recipe: Reinforce, here: Place, data: Snapshot, student: Input, before: Snapshot | None
) -> None:
    inputs = data.input, student
    checkpoint = resumption.find(run, "reinforce", inputs)
    spending = Spending(student.repo, run.recipe.prices, checkpoint.facts if checkpoint else None)
    cap = apart.capped(run, "reinforce", spending)
    picked = pick(lambda: _candidates(run, data), recipe, run.recipe.seed)
    if picked.why:
        raise StageError(f"{data.repo} {picked.why}")
    weights = run.hub.folder(student.repo, "model", student.revision, ignore=("adapter/*",))
    with TemporaryDirectory(prefix="thinkin-reinforce-") as folder:
        resume = resumption.fetch(run, checkpoint) if checkpoint else None
        job = write_job(Path(folder), run, recipe, student, weights, resume)
        Path(job.rows).write_text("".join(f"{it.model_dump_json()}\n" for it in picked.questions), "utf-8")

        def publish(told: str) -> None:
            report, tally = Reinforced.model_validate_json(told, strict=False), Tally()
            for row in rollouts(job.rollouts):
                tally.add(row)
            made = _facts(run, recipe, inputs, report, tally, picked, spending)
            _publish_rollouts(run, made, job.rollouts)
            apart.publish(run, made, Path(job.output), before)
            run.screen.say(f"reinforce: {summary(made)}")

        apart.run(run, "reinforce", job, recipe, here, apart.Watched(inputs, student, spending, cap), publish)


# --- which prompts


@dataclass(frozen=True, slots=True)
class Picked:
    """The prompts to learn from, by language how many there were to pick from, and what is wrong if there are none."""

    questions: Sequence[Question] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    why: str = ""


def _candidates(run: Run, data: Snapshot) -> Iterator[Conversation]:
    for folder in ("data", "rejected"):
        yield from run.hub.rows(data, Conversation, folder, run.recipe.languages)


def pick(candidates: Callable[[], Iterable[Conversation]], config: Reinforce, seed: int) -> Picked:
    """Those prompts whose share of candidates that passed lies between the recipe's bounds, in an order of chance.

    What an evaluation asks is not among them: none of its candidates passed *choose*.
    """
    passed, asked = Counter[int](), Counter[int]()
    for row in candidates():
        if row.prompt.gold is not None:
            passed[key(row.prompt.id)] += row.passed
            asked[key(row.prompt.id)] += 1
    if not asked:
        return Picked(why="has no prompt with a right answer to verify (`gold`): reinforcement needs some")
    bounds = config.passed_above, config.passed_below
    wanted = {name for name, count in asked.items() if worth_trying(passed[name], count, *bounds)}
    if not wanted:
        always = sum(passed[name] == count for name, count in asked.items())
        never = sum(passed[name] == 0 for name in asked)
        return Picked(
            why=f"has no prompt that teaches anything: of {len(asked)}, all candidates of {always} passed and none of "
            f"{never}, and no other lies between passed_above {bounds[0]:g} and passed_below {bounds[1]:g}; take more "
            "samples in generate"
        )
    counts: dict[str, Counter[str]] = {}
    found: dict[str, dict[str, Question]] = {}
    seen = set[int]()
    for row in candidates():
        prompt, name = row.prompt, key(row.prompt.id)
        if prompt.gold is None or name in seen:
            continue
        seen.add(name)
        counts.setdefault(prompt.language, Counter()).update(verifiable=1, **{"sometimes solved": name in wanted})
        if name in wanted:
            question = Question(id=prompt.id, language=prompt.language, text=prompt.text, gold=prompt.gold)
            found.setdefault(prompt.language, {})[digest("reinforce", seed, prompt.id)] = question
    taken = {language: sorted(of.items())[: config.prompts] for language, of in found.items()}
    for language, of in taken.items():
        counts[language]["taken"] = len(of)
    order = sorted(pair for of in taken.values() for pair in of)
    return Picked([question for _, question in order], counts)


# --- the job, and what came of it


def write_job(
    folder: Path, run: Run, recipe: Reinforce, student: Input, weights: Path, resume: Path | None
) -> Reinforcement:
    return Reinforcement(
        name=run.recipe.name,
        student=str(weights),
        student_repo=student.repo,
        student_revision=student.revision,
        rows=str(folder / "questions.jsonl"),
        output=str(folder / "model"),
        lora=recipe.lora.model_dump() if recipe.lora else None,
        terms=recipe.terms,
        seed=run.recipe.seed,
        grpo=recipe.grpo,
        save_every=run.recipe.checkpoints.minutes * 60 if launch.one_disk(recipe) else None,
        resume=str(resume) if resume else None,
    )


def rollouts(path: Path) -> Iterator[Rollout]:
    with path.open("rb") as lines:
        for line in lines:
            yield Rollout.model_validate_json(line, strict=False)


def _facts(
    run: Run,
    recipe: Reinforce,
    inputs: tuple[Input, ...],
    report: Reinforced,
    tally: Tally,
    picked: Picked,
    spending: Spending,
) -> Facts:
    details = {
        "prompts": {language: dict(counts) for language, counts in picked.counts.items()},
        "terms": recipe.terms.model_dump(),
        "grpo": dict(report.arguments),
        "lora": recipe.lora.model_dump(mode="json") if recipe.lora else None,
        "written_by": report.written_by,
        "opened": report.opened,
        "steps": report.steps,
        "tokens": report.tokens,
        "training_seconds": round(report.seconds, 1),
        "resumed": report.resumed,
        "curve": tally.curve,
        "rise": tally.rise(),
    }
    return apart.made(run, "reinforce", inputs, spending, tally.counts, details)


def summary(made: Facts) -> str:
    """Whether the reward rose, in a line."""
    rise = made.details["rise"]
    if not rise:
        return "no prompt came up twice, so nothing tells whether the reward rose"
    parts = [
        f"{name} {found['first']:.2f} -> {found['last']:.2f} (difference {cards.interval(found['difference'])})"
        for name, found in rise["measures"].items()
    ]
    return f"{rise['prompts']} prompts, first and last visit: {', '.join(parts)}"


# --- the rollouts on the Hub


def _publish_rollouts(run: Run, made: Facts, source: Path) -> None:
    before = run.hub.snapshot(run.rollouts, "dataset")
    if before is None:
        run.hub.create(run.rollouts, "dataset", run.recipe.private)
        before = run.hub.snapshot(run.rollouts, "dataset")
    assert before
    with TemporaryDirectory(prefix="thinkin-rollouts-") as folder:
        files: dict[str, bytes | Path] = dict(parts(rollouts(source), Path(folder)))
        files["README.md"] = cards.data_card(run, run.rollouts, made, list(files), run.hub.card(before)).encode()
        files["run/recipe.yaml"] = dump(run.recipe).encode()
        files["run/reinforce.json"] = made.model_dump_json(indent=2).encode()
        stale = [path for path in before.files if path not in files and path not in apart.KEPT]
        message = f"Reinforce {made.recipe}: what the model wrote"
        run.hub.publish(run.rollouts, "dataset", message, files, delete=stale, parent=before.revision)


def parts(rows: Iterable[Rollout], folder: Path) -> Iterator[tuple[str, Path]]:
    """Parquet files of `PART` rows, written to `folder`, by their paths in the repo."""
    waiting: dict[str, list[Rollout]] = {}

    def written(language: str) -> tuple[str, Path]:
        path, content = hub.part("data", Rollout, waiting.pop(language), language)
        file = folder / path.replace("/", "-")
        file.write_bytes(content)
        return path, file

    for row in rows:
        waiting.setdefault(row.language, []).append(row)
        if len(waiting[row.language]) == PART:
            yield written(row.language)
    yield from map(written, list(waiting))
