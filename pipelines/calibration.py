"""Judges held to account: what they say of responses that people scored (`labelled`).

A rubric judge is compared on the rows whose `criterion` is its name or that of its instruction (`fluency` for
`fluency.v1`), a likelihood judge on those that bear its name. What a judge said is kept in the judged repo, under
`calibration`, so that no later run and no other shard pays for it again.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from pipelines import engines, instructions, judges
from pipelines.agreement import Agreement, Opinion, Ranking, agreement, ranking
from pipelines.cards import interval
from pipelines.errors import SampleError, StageError
from pipelines.estimates import Estimate
from pipelines.hub import part
from pipelines.judges import Case
from pipelines.labelled import Labelled, labelled
from pipelines.llm import Door
from pipelines.measures import ALL, FEW
from pipelines.recipe import AnyJudge, Calibration, Recipe, RubricJudge
from pipelines.records import Compared, Judged, Record, digest
from pipelines.run import Run

FOLDER = "calibration"


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


@dataclass(frozen=True, slots=True)
class Question:
    """What one judge is to say of one labelled response. Its id covers all that the answer depends on, and so is the
    same for several people's scores of one response."""

    id: str
    judge: AnyJudge
    row: Labelled


class Trial:
    """The recipe's judges beside its calibration set, as far as they have been asked."""

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.recipe.calibration
        self.questions = questions(run.recipe, labelled(run, self.config)) if self.config else []
        self.answers = self._kept() if self.config else {}

    @property
    def left(self) -> list[Question]:
        """What this run has to ask: of several shards the first asks for all of them."""
        return self.missing if self.run.shard.index == 1 else []

    @property
    def missing(self) -> list[Question]:
        return [question for question in self.questions if question.id not in self.answers]

    async def ask(self, doors: Mapping[str, Door]) -> list[Compared]:
        """The answers that are left. A judge that fails gives none: it is counted, and asked again by the next run."""
        engines = self.run.recipe.engines
        free = {name: asyncio.Semaphore(engines[name].parallel) for name in doors}

        async def one(question: Question) -> Compared | None:
            async with free[question.judge.engine]:
                return await _compared(question, doors[question.judge.engine])

        asked = {question.id: question for question in self.left}.values()
        found = [row for row in await asyncio.gather(*map(one, asked)) if row]
        self.answers |= {row.id: row for row in found}
        return found

    def publish(self, rows: Sequence[Compared]) -> None:
        """Keep them in the judged repo, beside the rows of the stage."""
        languages = dict.fromkeys(row.language for row in rows)
        files = [part(FOLDER, Compared, [row for row in rows if row.language == one], one) for one in languages]
        if files:
            self.run.hub.publish(self.run.judged, "dataset", "judge: calibration", dict(files))

    def findings(self) -> list[Finding] | None:
        """None where there is no calibration set."""
        if self.config is None:
            return None
        if self.missing:  # by now another shard may have asked
            self.answers |= self._kept()
        return findings(self.run.recipe, self.questions, self.answers)

    def _kept(self) -> dict[str, Compared]:
        judged = self.run.hub.snapshot(self.run.judged, "dataset")
        return {row.id: row for row in self.run.hub.rows(judged, Compared, FOLDER)} if judged else {}


def run(run: Run) -> None:
    """The command: ask the recipe's judges about its calibration set, and show what they are worth."""
    trial = Trial(run)
    if trial.config is None:
        raise StageError("the recipe has no calibration: name a data set or a file of scores that people gave")
    if trial.left:
        asyncio.run(_served(run, trial))
    found = trial.findings() or []
    show(run, found)
    for warning in warnings(run.recipe, found):
        run.screen.say(f"warning: {warning}")


async def _served(run: Run, trial: Trial) -> None:
    async with AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name in dict.fromkeys(question.judge.engine for question in trial.left):
            use = judges.use(run.recipe.judge.judges, name)
            doors[name] = await stack.enter_async_context(engines.serve(run, run.recipe.engines[name], use))
        await trial.ask(doors)


def questions(recipe: Recipe, rows: Sequence[Labelled]) -> list[Question]:
    return [
        Question(_id(recipe, judge, row), judge, row)
        for judge in recipe.judge.judges
        for row in rows
        if row.criterion in criteria(judge)
    ]


def criteria(judge: AnyJudge) -> set[str]:
    return {judge.name, *([judge.instruction.split(".")[0]] if isinstance(judge, RubricJudge) else [])}


def _id(recipe: Recipe, judge: AnyJudge, row: Labelled) -> str:
    told = instructions.load(judge.instruction, row.language).label if isinstance(judge, RubricJudge) else ""
    how = judge.model_dump(exclude={"engine", "least"})
    return digest(
        FOLDER, how, recipe.engines[judge.engine].identity(), told, row.model_dump(exclude={"score", "criterion"})
    )


async def _compared(question: Question, door: Door) -> Compared | None:
    row = question.row
    try:
        case = Case(row.language, row.prompt, row.reasoning, row.answer)
        score = await judges.opinion(question.judge, door, case)
    except SampleError:
        return None
    return Compared(id=question.id, language=row.language, score=score)


def findings(recipe: Recipe, asked: Sequence[Question], answers: Mapping[str, Compared]) -> list[Finding]:
    """What the answers say of each judge, in each language and before several in all of them."""
    found = list[Finding]()
    for judge in recipe.judge.judges:
        mine = [question for question in asked if question.judge.name == judge.name]
        languages = list(dict.fromkeys(question.row.language for question in mine))
        for language in [ALL, *languages] if len(languages) > 1 else languages:
            part = [one for one in mine if language in (ALL, one.row.language)]
            known = [_opinion(one.row, answers[one.id].score.value) for one in part if one.id in answers]
            model = recipe.engines[judge.engine].model
            found.append(_finding(judge, model, language, known, len(part) - len(known)))
    return found


def _opinion(row: Labelled, judge: float) -> Opinion:
    return Opinion(row.prompt, row.language, row.score, judge, len(row.reasoning) + len(row.answer))


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
