"""What a run will cost, before it is run.

    python -m pipelines plan RECIPE

Where earlier runs of the recipe left facts on the Hub (a pilot with `--limit 20` is enough), the tokens of a request
and the share that passes each check are what was measured there. Where there are none, the plan is the most that it can
be: every answer is as long as `max_tokens` allows, and every row passes every check. The few figures that are neither
are assumptions. They stand below with what they rest on, and the plan names them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import cards, facts
from pipelines.facts import Facts, Spent, Usage
from pipelines.flow.spending import cost
from pipelines.judges import RUBRIC_TOKENS
from pipelines.recipe import Engine, HubSource, ProblemSource, Reinforce, Source, Stage
from pipelines.run import Run

QUESTION = 300
"""Assumed tokens of a question and of what the model is told about it."""
ROWS = 1_000
"""Assumed for a data set of which neither the recipe nor its card says how long it is."""
EPOCHS = 3
GROUP, BATCH, LONGEST = 8, 8, 4096
"""Responses to a prompt, responses of a step, and tokens of the longest. All these where a recipe says nothing: TRL's
own, but for the last."""
SERVING, TRAINING = 0.2, 0.35
"""Assumed shares of a GPU's peak that a full server and a training reach. A token takes 2 operations for each parameter
to be read or written, and 6 to be trained on (Kaplan et al. 2020, arXiv 2001.08361)."""
GPU = "a100"
"""Assumed where `prices.gpu` names none."""
FULL = 4
"""A pilot tells how fast a server is where it held this many times `parallel` requests: else it was never full."""
PROBLEMS = ("ru", "en")
"""The languages of our own word problems."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one kind: how many, and how many tokens each may take at most."""

    engine: Engine
    model: str
    requests: int
    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage will make and take. `measured` says from how many requests of a pilot; None: the most it can be."""

    stage: Stage
    rows: int
    spent: tuple[Spent, ...] = ()
    measured: int | None = None
    done: bool = False
    note: str = ""

    @property
    def total(self) -> Spent:
        return total(self.spent)


def total(spent: Iterable[Spent]) -> Spent:
    """Of several models. Money is that of those with a price; hours are unknown where one's are."""
    found = list(spent)
    usage = Usage()
    for one in found:
        usage = usage.plus(one.usage)
    hours = [one.gpu_hours for one in found]
    known = None if None in hours else facts.known([*hours, 0.0])
    return Spent(model="", usage=usage, dollars=facts.known(one.dollars for one in found), gpu_hours=known)


def estimate(run: Run) -> list[Estimate]:
    """For each stage of the recipe, in order."""
    pilots: dict[Stage, Facts | None] = {stage: _facts(run, stage) for stage in run.recipe.stages}
    prompts, foreign = _prompts(run)
    rows = _rows(run, pilots, prompts)
    asked = _asked(run, pilots, rows, foreign)
    found = list[Estimate]()
    for stage in run.recipe.stages:
        pilot = pilots[stage]
        if pilot and pilot.complete and pilot.digest == run.recipe.digest(stage):
            found.append(Estimate(stage, facts.rows(pilot.counts, pilot.counts), done=True))
        elif stage == "train":
            found.append(_training(run, pilots, rows["train"]))
        elif stage == "reinforce" and run.recipe.reinforce:
            found.append(_reinforcing(run, run.recipe.reinforce, pilots["reinforce"], rows))
        else:
            found.append(_estimated(run, stage, rows[stage], asked.get(stage, []), pilot))
    return found


def _facts(run: Run, stage: Stage) -> Facts | None:
    repo, kind = run.written(stage)
    snapshot = run.hub.snapshot(repo, kind, stage)
    return snapshot.facts if snapshot else None


# --- rows


def _prompts(run: Run) -> tuple[int, int]:
    """How many there will be, and how many of them have to be translated."""
    wanted = foreign = 0
    for tongue in run.recipe.languages:
        left = run.recipe.limit
        for source in run.recipe.prompts.sources:
            count = _count(run, source, tongue)
            count = count if left is None else min(left, count)
            left = None if left is None else left - count
            wanted += count
            foreign += 0 if _speaks(source, tongue) else count
    return wanted, foreign


def _speaks(source: Source, tongue: str) -> bool:
    if isinstance(source, HubSource):
        return source.language in (tongue, "{language}")
    return tongue in (PROBLEMS if isinstance(source, ProblemSource) else ("en",))


def _count(run: Run, source: Source, tongue: str) -> int:
    """The rows that the recipe asks for, or else those that the card of the data set declares."""
    if source.rows is not None or not isinstance(source, HubSource):
        return source.rows or 0
    declared = run.hub.metadata(run.hub.repo(source.id), "dataset").get("dataset_info")
    infos = [info for info in (declared if isinstance(declared, list) else [declared]) if isinstance(info, dict)]
    name = source.config.format(language=tongue) if source.config else None
    info: Mapping[str, Any] = next((info for info in infos if name in (None, info.get("config_name"))), {})
    split = source.split.format(language=tongue) if source.split else None
    counts = [one.get("num_examples") for one in info.get("splits") or () if split in (None, one.get("name"))]
    return next((count for count in counts if isinstance(count, int)), ROWS)


def _rows(run: Run, pilots: Mapping[Stage, Facts | None], prompts: int) -> dict[Stage, int]:
    recipe = run.recipe
    good = round(prompts * _share(pilots["prompts"], "good"))
    samples = good * recipe.generate.samples
    chosen = min(good * recipe.choose.per_prompt, round(samples * _share(pilots["choose"], "chosen")))
    items = sum(
        min(_count(run, benchmark.source, tongue), recipe.limit or 10**9)
        for benchmark in recipe.evaluate.benchmarks
        for tongue in recipe.languages
        if tongue in (benchmark.languages or recipe.languages)
    )
    asked = items * recipe.evaluate.samples * len(recipe.evaluate.ways)
    through: dict[Stage, int] = {"generate": samples, "judge": samples, "choose": samples}
    return {"prompts": prompts, **through, "train": chosen, "evaluate": asked}


def _share(pilot: Facts | None, step: str) -> float:
    """Of all rows of a pilot, those that came as far as this step; all where there was no pilot."""
    counts = cards.totals(pilot.counts) if pilot else {}
    first = next(iter(counts.values()), 0)
    return counts[step] / first if first and step in counts else 1.0


# --- requests


def _asked(
    run: Run, pilots: Mapping[Stage, Facts | None], rows: Mapping[Stage, int], foreign: int
) -> dict[Stage, list[Asked]]:
    recipe = run.recipe
    wanted: dict[Stage, list[Asked]] = {"prompts": [], "judge": [], "evaluate": []}
    if (translate := recipe.prompts.translate) and foreign:
        engine = recipe.engines[translate.engine]
        wanted["prompts"].append(Asked(engine, engine.model, foreign, QUESTION, translate.max_tokens))
    teacher = recipe.engines[recipe.generate.engine]
    most = recipe.generate.sampling.max_tokens
    wanted["generate"] = [Asked(teacher, teacher.model, rows["generate"], QUESTION, most)]
    before, answer = "answer", _answer(run, pilots["generate"])
    for judge in recipe.judge.judges:
        engine = recipe.engines[judge.engine]
        reached = round(rows["judge"] * _share(pilots["judge"], before))
        score = RUBRIC_TOKENS if judge.kind == "rubric" else 0
        wanted["judge"].append(Asked(engine, engine.model, reached, QUESTION + answer, score))
        before = judge.name
    engine = recipe.engines[recipe.evaluate.engine]
    each = rows["evaluate"] // len(recipe.evaluate.ways)
    for way in recipe.evaluate.ways:
        model = {"base": engine.model, "reinforced": run.reinforced}.get(way.model, run.model)
        wanted["evaluate"].append(Asked(engine, model, each, QUESTION, recipe.evaluate.sampling.max_tokens))
    return wanted


def _answer(run: Run, pilot: Facts | None) -> int:
    """Tokens of one of the teacher's answers."""
    used = pilot.usage if pilot else Usage()
    return round(used.completion_tokens / used.requests) if used.requests else run.recipe.generate.sampling.max_tokens


def _estimated(run: Run, stage: Stage, rows: int, asked: list[Asked], pilot: Facts | None) -> Estimate:
    measured = {one.model: one for one in pilot.spent if one.usage.requests} if pilot else {}
    spent = facts.by_model(_spent(run, one, measured.get(one.model)) for one in asked)
    whole = bool(spent) and spent.keys() <= measured.keys()
    count = sum(measured[model].usage.requests for model in spent) if whole else None
    return Estimate(stage, rows, tuple(spent.values()), count)


def _spent(run: Run, asked: Asked, pilot: Spent | None) -> Spent:
    tokens = asked.prompt, asked.completion
    if pilot:
        used = pilot.usage
        tokens = used.prompt_tokens / used.requests, used.completion_tokens / used.requests
    usage = Usage(
        requests=asked.requests,
        prompt_tokens=round(asked.requests * tokens[0]),
        completion_tokens=round(asked.requests * tokens[1]),
    )
    hours = _hours(run, asked, usage, pilot)
    dollars = cost(run.recipe.prices.complete(), asked.engine, usage, hours)
    return Spent(model=asked.model, usage=usage, dollars=dollars, gpu_hours=hours)


def _hours(run: Run, asked: Asked, usage: Usage, pilot: Spent | None) -> float | None:
    """GPU hours of a server that is full: as measured, or from the size of the model; None where that is not known."""
    engine = asked.engine
    if not engine.accelerators:
        return 0.0
    if pilot and pilot.gpu_hours and pilot.usage.requests >= FULL * engine.parallel:
        return pilot.gpu_hours * usage.requests / pilot.usage.requests
    return _worked_out(run, engine.model, 2, usage.prompt_tokens + usage.completion_tokens, SERVING)


def _worked_out(run: Run, model: str, operations: int, tokens: float, share: float) -> float | None:
    size = parameters(model)
    known = run.recipe.prices.complete()
    peak = known.gpus[known.gpu or GPU].teraflops * 1e12
    return operations * size * tokens / (peak * share) / 3600 if size else None


def parameters(model: str) -> float | None:
    """Of a model, as its name tells them; those that are active where it is a mixture of experts (`235B-A22B`)."""
    sizes = re.findall(r"(?<![\w.])a?(\d+(?:\.\d+)?)b(?![a-z])", model.rpartition("/")[2], re.IGNORECASE)
    return float(sizes[-1]) * 1e9 if sizes else None


def _training(run: Run, pilots: Mapping[Stage, Facts | None], rows: int) -> Estimate:
    recipe, pilot, generated = run.recipe.train, pilots["train"], pilots["generate"]
    longest = recipe.sft.get("max_length")
    row = QUESTION + _answer(run, generated)
    row = min(row, longest) if isinstance(longest, int) else row
    epochs = recipe.sft.get("num_train_epochs", EPOCHS)
    tokens = rows * row * (epochs if isinstance(epochs, int | float) else EPOCHS)
    seen = pilot.details.get("tokens") if pilot else None
    if pilot and isinstance(seen, int) and seen and pilot.spent:
        hours = (total(pilot.spent).gpu_hours or 0.0) * tokens / seen
    else:
        seen, hours = None, _worked_out(run, recipe.student, 6, tokens, TRAINING)
    dollars = cost(run.recipe.prices.complete(), None, Usage(), hours)
    spent = Spent(model=recipe.student, dollars=dollars, gpu_hours=hours)
    note = f"{round(tokens):,} tokens to train on"
    return Estimate("train", rows, (spent,), seen, note=note)


def _reinforcing(run: Run, recipe: Reinforce, pilot: Facts | None, rows: Mapping[Stage, int]) -> Estimate:
    """Every prompt may be one that is solved only sometimes; a pilot tells how many are."""
    grpo = recipe.grpo
    group = _whole(grpo, "num_generations", GROUP)
    batch = _whole(grpo, "per_device_train_batch_size", BATCH) * _whole(grpo, "gradient_accumulation_steps", 1)
    batch *= recipe.processes * recipe.machines
    prompts = rows["generate"] / run.recipe.generate.samples * _taken(pilot)
    prompts = min(prompts, recipe.prompts * len(run.recipe.languages)) if recipe.prompts else prompts
    most = _whole(grpo, "max_steps", 0) * batch
    responses = most if most > 0 else round(_whole(grpo, "num_train_epochs", EPOCHS) * prompts * group)
    each, seen = QUESTION + _whole(grpo, "max_completion_length", LONGEST), None
    if pilot and (made := facts.rows(pilot.counts, pilot.counts)):
        seen = int(pilot.details["tokens"])
        each = seen / made
        hours = (total(pilot.spent).gpu_hours or 0.0) * responses / made
    else:
        written = _worked_out(run, run.recipe.train.student, 2, responses * each, SERVING)
        trained = _worked_out(run, run.recipe.train.student, 6, responses * each, TRAINING)
        hours = None if written is None or trained is None else written + trained
    dollars = cost(run.recipe.prices.complete(), None, Usage(), hours)
    spent = Spent(model=run.model, dollars=dollars, gpu_hours=hours)
    return Estimate("reinforce", responses, (spent,), seen, note=f"{round(responses * each):,} tokens")


def _whole(arguments: Mapping[str, Any], name: str, default: int) -> int:
    value = arguments.get(name, default)
    return int(value) if isinstance(value, int | float) else default


def _taken(pilot: Facts | None) -> float:
    """The share of prompts that a pilot found worth trying."""
    counts = cards.totals(pilot.details["prompts"]) if pilot else {}
    return counts.get("sometimes solved", 0) / counts["verifiable"] if counts.get("verifiable") else 1.0
