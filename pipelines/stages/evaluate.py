"""evaluate: models and benchmarks -> NAME-results, and the model's card.

Every way of asking on every benchmark item: the base model as it is, instructed, with a forced opening, and the trained
model. One row per sample; the rates and their intervals are computed from the rows.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines import answers, cards, chains, engines, instructions, language, sources, tables
from pipelines.facts import Facts, Input
from pipelines.flow import Item, Output, Placed, each
from pipelines.hub import Snapshot
from pipelines.llm import Reply, Request
from pipelines.recipe import Engine, Recipe, Way
from pipelines.records import Prompt, Result, digest
from pipelines.run import Run


@dataclass(frozen=True, slots=True)
class Question:
    """One sample to take of one model, asked in one way."""

    id: str
    way: Way
    model: str
    model_revision: str
    benchmark: str
    item: sources.Item
    tongue: str
    number: int
    request: Request


def run(run: Run) -> None:
    trained = run.hub.need(run.model, "model", "train")
    models = engines_of(run, trained)
    prompts = run.hub.need(run.prompts, "dataset", "prompts")
    inputs = [Input(repo=engine.model, kind="model", revision=engine.revision or "") for engine in models.values()]
    output = Output(run, "evaluate", run.results, Result, [*inputs, prompts.input])
    if output.up_to_date():
        show(run, list(output.all_rows()))
        return
    known = {_plain(row.text) for row in run.hub.rows(prompts, Prompt)}
    wanted, seen_in_training = questions(run, models, known)
    pending = output.open([Item(question.id, question.tongue, question) for question in wanted])
    asyncio.run(_fill(run, output, pending, models))
    rows = list(output.all_rows())
    told = output.finish(counts, {"table": _markdown(run, rows), "seen_in_training": seen_in_training})
    _update_card(run, trained, rows, told)
    show(run, rows)


def engines_of(run: Run, trained: Snapshot) -> dict[str, Engine]:
    """The engine for the base model and the one for the trained model: the same but for the model."""
    base = run.recipe.engines[run.recipe.evaluate.engine]
    pinned = run.hub.revision(base.model, "model", base.revision)
    return {
        "base": base.model_copy(update={"revision": pinned}),
        "trained": base.model_copy(update={"model": trained.repo, "revision": _weights(run, trained)}),
    }


def _weights(run: Run, trained: Snapshot) -> str:
    """The commit that holds the weights. An evaluation puts its table on top, into the model's card; *train* takes the
    facts of that evaluation away again when it publishes other weights."""
    evaluated = run.hub.snapshot(run.model, "model", "evaluate")
    inputs = evaluated.facts.inputs if evaluated and evaluated.facts else ()
    return next((found.revision for found in inputs if found.repo == run.model), trained.revision)


def questions(run: Run, models: Mapping[str, Engine], known: set[str]) -> tuple[list[Question], int]:
    """All samples to take, and how many items were left out because their text is among the training prompts."""
    wanted, left_out = list[Question](), set[str]()
    for benchmark in run.recipe.evaluate.benchmarks:
        for tongue in benchmark.languages or run.recipe.languages:
            for count, item in enumerate(sources.items(benchmark.source, tongue, run.recipe.seed, run.hub)):
                if run.recipe.limit is not None and count >= run.recipe.limit:
                    break
                if _plain(item.texts[tongue]) in known:
                    left_out.add(item.texts[tongue])
                    continue
                wanted += _asked(run.recipe, models, benchmark.name, item, tongue)
    return wanted, len(left_out)


def _asked(
    recipe: Recipe, models: Mapping[str, Engine], benchmark: str, item: sources.Item, tongue: str
) -> Iterator[Question]:
    config = recipe.evaluate
    for way in config.ways:
        engine = models[way.model]
        instruction = instructions.load(way.instruction, tongue)
        messages = instruction.messages(text=item.texts[tongue], language_name=instructions.language_name(tongue))
        for number in range(config.samples):
            identity = engine.identity(), way.name, instruction.label, config.sampling.model_dump()
            name = digest("result", identity, benchmark, tongue, item.texts[tongue], number)
            seed = int(digest(recipe.seed, item.texts[tongue], number), 16) % 2**31
            request = Request(messages, config.sampling, seed)
            yield Question(name, way, engine.model, engine.revision or "", benchmark, item, tongue, number, request)


async def _fill(run: Run, output: Output[Result], pending: list[Item[Question]], models: Mapping[str, Engine]) -> None:
    """One model after the other, so that only one of them has to fit into memory."""
    for kind, engine in models.items():
        mine = [item for item in pending if item.value.way.model == kind]
        if not mine:
            continue
        async with engines.serve(engine, run.hub) as door:
            output.used(door, engine)

            async def step(question: Question) -> Placed[Result]:
                reply = await door.ask(question.request)
                return Placed(await asyncio.to_thread(result, question, reply), question.tongue)

            await each(mine, step, engine.parallel, output, f"evaluate {kind}")


def result(question: Question, reply: Reply) -> Result:
    """What a reply is worth. The answer is looked for after the think block, and where nothing comes after it (a block
    that was never closed) inside it: being right is counted apart from thinking in due form."""
    chain, tongue = reply.chain(), question.tongue
    defects = chains.defects(chain, reply.finish_reason)
    labels = {*language.LABELS, tongue}
    think = language.report(chain.reasoning or "", labels)
    answer = language.report(chain.answer, labels)
    whole = language.report(f"{chain.reasoning or ''}\n{chain.answer}", labels)
    found = answers.extract(chain.answer or chain.reasoning or "", tongue)
    gold = question.item.gold or ""
    outcome = (
        answers.verify(gold, found.text, tongue).kind if found and gold else "undecidable" if not gold else "wrong"
    )
    answered = answer.language in (tongue, language.UND) and bool(chain.answer)
    return Result(
        id=question.id,
        model=question.model,
        model_revision=question.model_revision,
        way=question.way.name,
        benchmark=question.benchmark,
        family=question.item.family,
        language=tongue,
        item=digest(question.item.texts[tongue]),
        question=question.item.texts[tongue],
        gold=gold,
        sample=question.number,
        reasoning=chain.reasoning,
        answer=chain.answer,
        defects=defects,
        finish_reason=reply.finish_reason,
        completion_tokens=reply.completion_tokens,
        valid_think=not defects,
        think_language=think.language if chain.reasoning else None,
        think_strict=not defects and think.strict(tongue),
        answer_in_language=answered,
        output_language=whole.language,
        output_strict=whole.strict(tongue),
        extracted=found.text if found else None,
        outcome=outcome,
        correct=outcome == "right",
        joint=not defects and think.strict(tongue) and answered and outcome == "right",
    )


def counts(rows: Iterable[Result]) -> Mapping[str, Mapping[str, int]]:
    table: dict[str, Counter[str]] = {}
    for row in rows:
        steps = {"valid think": row.valid_think, "think in language": row.think_strict, "joint": row.joint}
        table.setdefault(row.language, Counter(asked=0)).update(asked=1, **steps)
    return table


def differences(run: Run, rows: list[Result]) -> list[tables.Difference]:
    """The trained model against the base, on all benchmarks together and on each by itself."""
    names = [benchmark.name for benchmark in run.recipe.evaluate.benchmarks]
    parts = [rows] if len(names) == 1 else [rows, *([row for row in rows if row.benchmark == name] for name in names)]
    return [
        tables.compare(part, trained.name, base.name, measure)
        for measure in ("joint", "correct")
        for part in parts
        if part
        for trained, base in pairs(run.recipe.evaluate.ways)
    ]


def pairs(ways: Sequence[Way]) -> Iterator[tuple[Way, Way]]:
    """The first way of asking the trained model against every way of asking the base; its other ways each against the
    base asked in the same words."""
    bases = [way for way in ways if way.model == "base"]
    for number, trained in enumerate(way for way in ways if way.model == "trained"):
        yield from ((trained, base) for base in bases if number == 0 or base.instruction == trained.instruction)


def lines(run: Run, rows: list[Result]) -> tuple[tables.Line, ...]:
    """The rates, in the order in which the recipe names the ways of asking."""
    ways = [way.name for way in run.recipe.evaluate.ways]
    return tables.summarise(sorted((row for row in rows if row.way in ways), key=lambda row: ways.index(row.way)))


def show(run: Run, rows: list[Result]) -> None:
    tables.render(lines(run, rows), differences(run, rows), run.screen.console)


def _markdown(run: Run, rows: list[Result]) -> str:
    return tables.markdown(lines(run, rows), differences(run, rows))


def _update_card(run: Run, trained: Snapshot, rows: list[Result], told: Facts) -> None:
    assert trained.facts
    card = cards.model_card(run, trained.facts, lines(run, rows), differences(run, rows))
    files = {"README.md": card.encode(), "run/evaluate.json": told.model_dump_json(indent=1).encode()}
    run.hub.publish(run.model, "model", "evaluate: results", files)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
