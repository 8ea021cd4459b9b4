"""judge: NAME-candidates -> NAME-judged.

Each check runs only on what passed the last, the cheap ones first: structure, language of think block and answer, the
answer against gold, then the recipe's judges. What a check stops is published under `rejected` with the reason.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines import answers, chains, engines, facts, instructions, language
from pipelines.errors import SampleError
from pipelines.flow import Item, Output, Placed, each
from pipelines.llm import Door, Request
from pipelines.llm.probe import Use
from pipelines.recipe import Judge, RubricJudge, Sampling
from pipelines.records import Candidate, Judged, Message, Score, Share, digest
from pipelines.run import Run

RUBRIC_ATTEMPTS = 3
RUBRIC_TOKENS = 64


class Rubric(BaseModel):
    """What a rubric judge has to answer; also the schema that is sent to the server."""

    model_config = ConfigDict(extra="forbid", strict=True)
    score: Annotated[int, Field(ge=1, le=5)]


def run(run: Run) -> None:
    source = run.hub.need(run.candidates, "dataset", "generate")
    judges = [judge.name for judge in run.recipe.judge.judges]
    with Output(run, "judge", run.judged, Judged, [source.input], lambda rows: funnel(rows, judges)) as output:
        if output.up_to_date():
            return
        rows = run.hub.rows(source, Candidate, languages=run.recipe.languages)
        told = run.recipe.settings("judge")
        pending = output.open(
            (Item(digest(row.id, told), row.prompt.language, row, row.prompt.id) for row in rows),
            facts.rows(source.facts.counts if source.facts else {}, run.recipe.languages),
        )
        if first := next(pending, None):
            asyncio.run(_fill(run, output, chain([first], pending), told))
        output.finish()


async def _fill(run: Run, output: Output[Judged], pending: Iterable[Item[Candidate]], told: str) -> None:
    config = run.recipe.judge
    async with AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name in dict.fromkeys(judge.engine for judge in config.judges):
            engine = run.recipe.engines[name]
            doors[name] = await stack.enter_async_context(engines.serve(run, engine, use(config, name)))
            output.used(doors[name], engine)

        async def step(candidate: Candidate) -> Placed[Judged]:
            row = await judged(candidate, config, doors, digest(candidate.id, told), output.instructions)
            return Placed(row, candidate.prompt.language, "rejected" if row.stopped else "data")

        parallel = max((run.recipe.engines[judge.engine].parallel for judge in config.judges), default=1)
        await each(pending, step, parallel, output)


def use(config: Judge, engine: str) -> Use:
    """What the judges behind an engine ask of it."""
    kinds = {judge.kind for judge in config.judges if judge.engine == engine}
    if "rubric" not in kinds:
        return Use(likelihood=True)
    return Use(_sampling(0), schema=Rubric.model_json_schema(), likelihood="likelihood" in kinds)


async def judged(candidate: Candidate, config: Judge, doors: Mapping[str, Door], name: str, told: set[str]) -> Judged:
    """The candidate with the verdict of every check up to the first that stopped it."""
    row = free_checks(candidate, config, name)
    if row.stopped is None and candidate.prompt.gold is not None:
        row = await asyncio.to_thread(verified, row)
    for judge in config.judges:
        if row.stopped is not None:
            break
        door = doors[judge.engine]
        if isinstance(judge, RubricJudge):
            row = await _rubric(row, judge, door, told)
        else:
            value = await door.likelihood(_conversation(row))
            row = _scored(row, Score(judge=judge.name, value=value, model=door.model, instruction=""))
    return row


def free_checks(candidate: Candidate, config: Judge, name: str) -> Judged:
    """Structure and language: what costs no request. The think block must be in the prompt's language by the purity
    that the recipe asks for; the answer's language may be undetermined, since a bare number has none."""
    wanted, labels = candidate.prompt.language, config.labels or language.LABELS
    think = language.report(candidate.reasoning or "", {*labels, wanted})
    answer = language.report(candidate.answer, {*labels, wanted})
    stopped = reason = None
    if candidate.defects:
        stopped, reason = "structure", ", ".join(candidate.defects)
    elif think.share(wanted) < config.purity:
        stopped, reason = "language", f"{think.share(wanted):.0%} of the think block is in {wanted}"
    elif answer.language not in (wanted, language.UND):
        stopped, reason = "language", f"the answer is in {answer.language}"
    found = answers.extract(candidate.answer, wanted)
    return Judged(
        **{key: getattr(candidate, key) for key in Candidate.model_fields if key != "id"},
        id=name,
        candidate=candidate.id,
        stopped=stopped,
        reason=reason,
        think_language=think.language,
        think_purity=think.share(wanted),
        answer_language=answer.language,
        shares=tuple(Share(language=label, share=share) for label, share in think.shares),
        extracted=found.text if found else None,
        outcome=None,
        scores=(),
    )


def verified(row: Judged) -> Judged:
    """The answer against gold. A wrong answer stops the row; one that cannot be decided is left to the judges."""
    assert row.prompt.gold is not None
    if row.extracted is None:
        return row.model_copy(update={"outcome": "wrong", "stopped": "answer", "reason": "no answer was found"})
    verdict = answers.verify(row.prompt.gold, row.extracted, row.prompt.language)
    if verdict.kind != "wrong":
        return row.model_copy(update={"outcome": verdict.kind})
    reason = f"{row.extracted!r} where {row.prompt.gold!r} is right: {verdict.reason}"
    return row.model_copy(update={"outcome": "wrong", "stopped": "answer", "reason": reason})


async def _rubric(row: Judged, judge: RubricJudge, door: Door, told: set[str]) -> Judged:
    instruction = instructions.load(judge.instruction, row.prompt.language)
    told.add(instruction.label)
    messages = instruction.messages(
        text=fenced(row.prompt.text),
        reasoning=fenced(row.reasoning or ""),
        answer=fenced(row.answer),
        language_name=instructions.language_name(row.prompt.language),
    )
    value = await rate(door, messages)
    row = _scored(row, Score(judge=judge.name, value=float(value), model=door.model, instruction=instruction.label))
    if value >= judge.least:
        return row
    return row.model_copy(update={"stopped": judge.name, "reason": f"{value} where {judge.least} is the least"})


async def rate(door: Door, messages: tuple[Message, ...]) -> int:
    """A whole number from 1 to 5. A judge whose answer cannot be read is asked again, and then is a failure: never a
    score."""
    schema: dict[str, Any] = Rubric.model_json_schema()
    text = ""
    for seed in range(RUBRIC_ATTEMPTS):
        text = (await door.ask(Request(messages, _sampling(seed), seed, schema))).text
        try:
            return Rubric.model_validate_json(text).score
        except ValidationError:
            continue
    raise SampleError("unreadable-judge", f"the judge's answer holds no score: {text[:200]!r}", RUBRIC_ATTEMPTS)


def _sampling(seed: int) -> Sampling:
    return Sampling(temperature=0.0 if seed == 0 else 0.5, top_p=1.0, max_tokens=RUBRIC_TOKENS)


def fenced(text: str) -> str:
    """Judged text cannot contain the lines that fence it off from the instruction."""
    return text.replace("<<<", "‹‹‹").replace(">>>", "›››")


def _scored(row: Judged, score: Score) -> Judged:
    return row.model_copy(update={"scores": (*row.scores, score)})


def _conversation(row: Judged) -> tuple[Message, ...]:
    response = chains.join(row.reasoning or "", row.answer)
    return Message(role="user", content=row.prompt.text), Message(role="assistant", content=response)


def funnel(rows: Iterable[Judged], judges: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Per language, how many candidates are left after each check."""
    steps = ("structure", "language", "answer", *judges)
    table: dict[str, Counter[str]] = {}
    for row in rows:
        counts = table.setdefault(row.prompt.language, Counter({"generated": 0, **dict.fromkeys(steps, 0)}))
        counts["generated"] += 1
        counts.update(steps[: steps.index(row.stopped)] if row.stopped else steps)
    return table
