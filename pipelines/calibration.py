"""Judges held to account: what they say of responses that people scored.

The set is a Hub data set or a file (JSONL or CSV) of one row for each response and criterion, with the columns of
`Labelled`. A rubric judge is compared on the rows whose `criterion` is its name or that of its instruction (`fluency`
for `fluency.v1`), a likelihood judge on those that bear its name.
"""

import asyncio
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from pipelines import engines, judges, sources
from pipelines.agreement import Agreement, Opinion, Ranking, agreement, ranking
from pipelines.cards import interval
from pipelines.errors import SampleError, StageError
from pipelines.estimates import Estimate
from pipelines.judges import Case
from pipelines.llm import Door
from pipelines.measures import ALL, FEW
from pipelines.recipe import AnyJudge, Calibration, HubSource, Recipe, RubricJudge
from pipelines.records import Judged, Record
from pipelines.run import Run


class Labelled(Record):
    """A response that a person scored from 1 to 5."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)
    language: str
    criterion: str
    prompt: str
    reasoning: str
    answer: str
    score: Annotated[int, Field(ge=1, le=5)]


class Finding(Record):
    """How one judge did in one language (`all` for all of them). Numbers are a value and its 95 % interval."""

    judge: str
    model: str
    language: str
    items: int
    """Responses, or for a judge that ranks pairs of responses to one prompt."""
    failed: int
    agreement: tuple[float, ...]
    """Weighted kappa; or the share of pairs that are ranked as people do."""
    same: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()
    length: tuple[float, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()


def run(run: Run) -> None:
    """The command: ask the recipe's judges about its calibration set, and show what they are worth."""
    config = run.recipe.calibration
    if config is None:
        raise StageError("the recipe has no calibration: name a data set or a file of scores that people gave")
    asyncio.run(_served(run, config))


async def _served(run: Run, config: Calibration) -> None:
    async with AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name in dict.fromkeys(judge.engine for judge in run.recipe.judge.judges):
            use = judges.use(run.recipe.judge.judges, name)
            doors[name] = await stack.enter_async_context(engines.serve(run, run.recipe.engines[name], use))
        findings = await calibrate(run, config, doors)
    show(run, findings)
    for warning in warnings(run.recipe, findings):
        run.screen.say(f"warning: {warning}")


async def calibrate(run: Run, config: Calibration, doors: Mapping[str, Door]) -> list[Finding]:
    rows = labelled(run, config)
    findings = list[Finding]()
    for judge in run.recipe.judge.judges:
        mine = [row for row in rows if row.criterion in criteria(judge)]
        if not mine:
            continue
        parallel = run.recipe.engines[judge.engine].parallel
        asked = await _ask(judge, doors[judge.engine], mine, parallel)
        languages = list(dict.fromkeys(row.language for row in mine))
        for language in [ALL, *languages] if len(languages) > 1 else languages:
            part = [one for row, one in asked if language in (ALL, row.language)]
            found = [one for one in part if one is not None]
            findings.append(_finding(judge, doors[judge.engine].model, language, found, len(part) - len(found)))
    return findings


def criteria(judge: AnyJudge) -> set[str]:
    return {judge.name, *([judge.instruction.split(".")[0]] if isinstance(judge, RubricJudge) else [])}


async def _ask(
    judge: AnyJudge, door: Door, rows: Sequence[Labelled], parallel: int
) -> list[tuple[Labelled, Opinion | None]]:
    """None where the judge failed, which is counted and no score."""
    free = asyncio.Semaphore(parallel)

    async def one(row: Labelled) -> tuple[Labelled, Opinion | None]:
        async with free:
            try:
                score = await judges.opinion(judge, door, Case(row.language, row.prompt, row.reasoning, row.answer))
            except SampleError:
                return row, None
        characters = len(row.reasoning) + len(row.answer)
        return row, Opinion(row.prompt, row.language, row.score, score.value, characters)

    return await asyncio.gather(*map(one, rows))


def _finding(judge: AnyJudge, model: str, language: str, found: Sequence[Opinion], failed: int) -> Finding:
    named: dict[str, Any] = {"judge": judge.name, "model": model, "language": language, "failed": failed}
    if isinstance(judge, RubricJudge):
        scored: Agreement = agreement(found)
        return Finding(
            **named,
            items=scored.items,
            agreement=_three(scored.kappa),
            same=_three(scored.same),
            bias=_three(scored.bias),
            length=_three(scored.length),
            confusion=scored.confusion,
        )
    ranked: Ranking = ranking(found)
    return Finding(**named, items=ranked.pairs, agreement=_three(ranked.concordant), length=_three(ranked.shorter))


def _three(value: Estimate) -> tuple[float, ...]:
    return (value.mean, value.low, value.high)


# --- the set


def labelled(run: Run, config: Calibration) -> tuple[Labelled, ...]:
    """The rows in the recipe's languages; StageError with the place of the first that is not one."""
    name = config.file or config.id or ""
    rows = list[Labelled]()
    for place, row in _lines(run, config):
        try:
            rows.append(Labelled.model_validate(row))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            column = ".".join(map(str, first["loc"]))
            raise StageError(f"{name}, {place}: {column}: {first['msg']}: each row needs {_COLUMNS}") from None
    mine = tuple(row for row in rows if row.language in run.recipe.languages)
    if not mine:
        raise StageError(f"{name} holds no scores in the recipe's languages: {', '.join(run.recipe.languages)}")
    return mine


_COLUMNS = ", ".join(Labelled.model_fields)


def _lines(run: Run, config: Calibration) -> Iterator[tuple[str, Any]]:
    if config.id is not None:
        source = HubSource(
            kind="hub", id=config.id, config=config.config, split=config.split, text="prompt", language="any",
            revision=config.revision,
        )  # fmt: skip
        languages = run.recipe.languages if "{language}" in (config.config or "") else ("",)
        for language in languages:
            table = sources.table(source, sources.revision(source, run.hub), language)
            yield from ((f"row {number}", dict(row)) for number, row in enumerate(table))
        return
    path = Path(config.file or "")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(f"calibration.file: {path} cannot be read: {error}") from None
    if path.suffix == ".csv":
        yield from ((f"line {number}", row) for number, row in enumerate(csv.DictReader(text.splitlines()), start=2))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError:
                raise StageError(f"{path}, line {number} is no JSON: one object on each line") from None


# --- what it means


def warnings(recipe: Recipe, findings: Sequence[Finding] | None) -> list[str]:
    """What a person has to know of the recipe's judges before believing them. `findings` is None where nobody was
    asked, because there is no calibration set."""
    teacher = recipe.engines[recipe.generate.engine].model
    found = [
        f"{judge.name}: the judge is the teacher itself, which may favour its own texts"
        for judge in recipe.judge.judges
        if recipe.engines[judge.engine].model == teacher
    ]
    for judge in recipe.judge.judges:
        mine = [finding for finding in findings or () if finding.judge == judge.name]
        for language in recipe.languages:
            one = next((finding for finding in mine if finding.language == language), None)
            if problem := _problem(judge, one, recipe.calibration):
                found.append(f"{judge.name} ({language}): {problem}")
    return found


def _problem(judge: AnyJudge, finding: Finding | None, config: Calibration | None) -> str | None:
    if config is None or finding is None:
        return "not compared with scores of people"
    value, low, _ = finding.agreement
    least = config.kappa if isinstance(judge, RubricJudge) else config.concordance
    name = "weighted kappa" if isinstance(judge, RubricJudge) else "share of pairs ranked as people do"
    if not value >= least:
        return f"agrees too little with people: {name} {value:.2f}, {least:.2f} is the least"
    if not low >= least:
        return f"may agree too little with people: {name} {value:.2f}, but down to {low:.2f} is possible"
    if finding.items < FEW:
        return f"only {finding.items} scores of people, which say little"
    return None


def disagreement(recipe: Recipe, rows: Iterable[Judged]) -> list[dict[str, Any]]:
    """Judges with one instruction, on the rows that both scored: how often they differ, and by how much."""
    told = [judge for judge in recipe.judge.judges if isinstance(judge, RubricJudge)]
    pairs = [
        (a.name, b.name) for place, a in enumerate(told) for b in told[place + 1 :] if a.instruction == b.instruction
    ]
    opinions: dict[tuple[str, str], list[Opinion]] = {pair: [] for pair in pairs}
    for row in rows:
        for first, second in pairs:
            a, b = row.score(first), row.score(second)
            if a is not None and b is not None:
                length = len(row.reasoning or "") + len(row.answer)
                opinions[first, second].append(Opinion(row.prompt.id, row.prompt.language, int(a + 0.5), b, length))
    return [
        {
            "first": first,
            "second": second,
            "rows": len(found),
            "kappa": _three(agreement(found).kappa),
            "same": _three(agreement(found).same),
            "apart": sum(abs(one.human - one.judge) for one in found) / len(found),
        }
        for (first, second), found in opinions.items()
        if found
    ]


def show(run: Run, findings: Sequence[Finding]) -> None:
    for finding in findings:
        place = f"{finding.judge} ({finding.language}), {finding.model}: {finding.items} scores"
        failed = f", {finding.failed} failed" if finding.failed else ""
        run.screen.say(f"{place}{failed}: agreement {interval(finding.agreement)}")
        if finding.confusion:
            run.screen.say(
                f"  the same score {interval(finding.same)}, bias {interval(finding.bias)}, "
                f"more for each doubling of the text {interval(finding.length)}"
            )
            run.screen.say("  people say 1 to 5 downwards, the judge to the right:")
            for row in finding.confusion:
                run.screen.say("  " + " ".join(f"{count:4}" for count in row))
        else:
            run.screen.say(f"  prefers the shorter text more often than people do by {interval(finding.length)}")
