"""judge: NAME-candidates -> NAME-judged.

Each check runs only on what passed the last, the cheap ones first: structure, language of think block and answer, the
answer against gold, then the recipe's judges. What a check stops is published under `rejected` with the reason. The
checks before the judges are made on all cores, ahead of what the judges are asked.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import chain
from typing import Any

from pipelines import calibration, checks, cores, engines, facts, judges, labelled, plots
from pipelines.calibration import Finding, Trial
from pipelines.flow import Item, Output, Placed, each
from pipelines.judges import Case
from pipelines.llm import Door
from pipelines.recipe import Judge, Recipe, RubricJudge
from pipelines.records import Candidate, Judged, digest
from pipelines.run import Run


def run(run: Run) -> None:
    source = run.hub.need(run.candidates, "dataset", "generate")
    names = [judge.name for judge in run.recipe.judge.judges]
    inputs = [source.input, *labelled.inputs(run)]
    with Output(run, "judge", run.judged, Judged, inputs, lambda rows: funnel(rows, names)) as output:
        if output.up_to_date():
            return
        rows = run.hub.rows(source, Candidate, languages=run.recipe.languages)
        told = run.recipe.settings("judge")
        pending = output.open(
            (Item(digest(row.id, told), row.prompt.language, row, row.prompt.id) for row in rows),
            facts.rows(source.facts.counts if source.facts else {}, run.recipe.languages),
        )
        first, trial = next(pending, None), Trial(run)
        if first or trial.left:
            candidates = (item.value for item in chain([first] if first else [], pending))
            with cores.spread(partial(checks.checked, run.recipe.judge, told), candidates) as checked:
                asyncio.run(_fill(run, output, trial, checked))
        if run.shard.index == 1:
            for warning in calibration.warnings(run.recipe, trial.findings()):
                run.screen.say(f"warning: {warning}")
        output.finish(lambda judged: found_out(run.recipe, trial.findings(), judged))


def found_out(recipe: Recipe, findings: Sequence[Finding] | None, rows: Iterable[Judged]) -> Mapping[str, Any]:
    """What the facts tell of the judges themselves, and of the lengths and languages of what they were given."""
    cascade, spread = Cascade([judge.name for judge in recipe.judge.judges]), plots.Spread()

    def seen() -> Iterator[Judged]:
        for row in cascade.watched(rows):
            spread.add(row.prompt.language, tokens=row.completion_tokens, share=row.think_purity)
            yield row

    all_rows = seen()
    disagreement = calibration.disagreement(recipe, all_rows)
    deque(all_rows, maxlen=0)  # where no two judges are compared, nobody has looked at them yet
    return {
        "calibration": [finding.model_dump() for finding in findings or ()],
        "warnings": calibration.warnings(recipe, findings),
        "disagreement": disagreement,
        "cascade": cascade.report(),
        "spread": spread.quantiles(),
    }


async def _fill(run: Run, output: Output[Judged], trial: Trial, checked: Iterable[Judged]) -> None:
    """The judges are compared with people first: what they are worth should be known before they are paid."""
    config = run.recipe.judge
    async with AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name in dict.fromkeys(judge.engine for judge in config.judges):
            engine = run.recipe.engines[name]
            doors[name] = await stack.enter_async_context(engines.serve(run, engine, judges.use(config.judges, name)))
            output.used(doors[name], engine)
        if trial.left:
            trial.publish(await trial.ask(doors))
            calibration.show(run, trial.findings() or [])

        async def step(row: Judged) -> Placed[Judged]:
            row = await judged(row, config, doors, output.instructions)
            return Placed(row, row.prompt.language, "rejected" if row.stopped else "data")

        parallel = max((run.recipe.engines[judge.engine].parallel for judge in config.judges), default=1)
        await each((Item(row.id, row.prompt.language, row) for row in checked), step, parallel, output)


async def judged(row: Judged, config: Judge, doors: Mapping[str, Door], told: set[str]) -> Judged:
    """The row with the opinion of every judge up to the first that stopped it."""
    for judge in config.judges:
        if row.stopped is not None:
            break
        case = Case(row.prompt.language, row.prompt.text, row.reasoning or "", row.answer)
        score = await judges.opinion(judge, doors[judge.engine], case)
        told.update(filter(None, [score.instruction]))
        row = row.model_copy(update={"scores": (*row.scores, score)})
        if isinstance(judge, RubricJudge) and score.value < judge.least:
            reason = f"{score.value:.4g} where {judge.least} is the least"
            row = row.model_copy(update={"stopped": judge.name, "reason": reason})
    return row


class Cascade:
    """What the order of the checks spared: the tokens of the judges that were asked, and an estimate of what they would
    have been had every judge been asked about every row. A row that a judge was not asked about is taken to cost as
    much as the mean of those that it was asked about, whatever stopped it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.rows = self.accepted = 0
        self._asked, self._told, self._tokens = Counter[str](), Counter[str](), Counter[str](dict.fromkeys(names, 0))

    def watched(self, rows: Iterable[Judged]) -> Iterator[Judged]:
        """The same rows, counted as they pass."""
        for row in rows:
            self.rows += 1
            self.accepted += row.stopped is None
            for score in row.scores:
                self._asked[score.judge] += 1
                self._told[score.judge] += score.tokens is not None
                self._tokens[score.judge] += score.tokens or 0
            yield row

    def report(self) -> Mapping[str, Any]:
        """For each judge the opinions, their tokens, and the tokens of an opinion about every row; empty where no
        tokens are known of a judge."""
        if not self._tokens or not all(self._tokens.values()):
            return {}
        means = {name: tokens / self._told[name] for name, tokens in self._tokens.items()}
        judges = [
            {
                "judge": name,
                "opinions": self._asked[name],
                "tokens": round(mean * self._asked[name]),
                "everything": round(mean * self.rows),
            }
            for name, mean in means.items()
        ]
        return {"rows": self.rows, "accepted": self.accepted, "judges": judges}


def funnel(rows: Iterable[Judged], names: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Per language, how many candidates are left after each check."""
    steps = ("structure", "language", "answer", *names)
    table: dict[str, Counter[str]] = {}
    for row in rows:
        counts = table.setdefault(row.prompt.language, Counter({"generated": 0, **dict.fromkeys(steps, 0)}))
        counts["generated"] += 1
        counts.update(steps[: steps.index(row.stopped)] if row.stopped else steps)
    return table
