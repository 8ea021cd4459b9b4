"""evaluate: models and benchmarks -> NAME-results, and the model's card.

Every way of asking on every benchmark item: the base model as it is, instructed, with a forced opening, the trained
model, the two merged, and the reinforced one. One row per sample; the rates and their intervals are computed from the
rows.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pipelines import (
    answers,
    cards,
    chains,
    engines,
    examples,
    held_out,
    instructions,
    language,
    leaderboards,
    measures,
    plots,
    reference,
    sources,
    tables,
)
from pipelines.errors import PublishConflict, StageError
from pipelines.facts import Facts, Input
from pipelines.flow import Item, Output, Placed, each
from pipelines.held_out import Asked, HeldOut
from pipelines.hub import Snapshot
from pipelines.llm import Reply, Request
from pipelines.llm.probe import Use
from pipelines.recipe import Engine, Recipe, Way
from pipelines.records import Conversation, Result, digest
from pipelines.run import Run
from pipelines.training import merged


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
    instruction: str
    request: Request


def run(run: Run) -> None:
    trained = run.hub.need(run.model, "model", "train")
    models = engines_of(run, trained)
    chosen = run.hub.need(run.chosen, "dataset", "choose")
    asked = [Input(repo=engine.model, kind="model", revision=engine.revision or "") for engine in models.values()]
    inputs = [*asked, chosen.input, *held_out.inputs(run)]
    with Output(run, "evaluate", run.results, Result, inputs, counts) as output:
        if output.up_to_date():
            tables.render(*measures.told(output.all_rows(), run.recipe.evaluate.ways), run.screen.console)
            return
        held = held_out.load(run)
        clean, overlaps = held_out.unseen(held.items, seen_in_training(run, held, chosen))
        if not clean:
            raise StageError("no benchmark item is left to ask: see the lines above, and evaluate.benchmarks")
        wanted = questions(run.recipe, models, clean)
        items = [Item(question.id, question.tongue, question, digest(question.item.texts)) for question in wanted]
        asyncio.run(_fill(run, output, list(output.open(items)), models))
        told = output.finish(
            lambda rows: {
                **scored(run, rows),
                "seen_in_training": [overlap.model_dump() for overlap in overlaps],
                "skipped": [str(one) for one in held.skipped],
                "told": spoken(run.recipe),
            }
        )
        if told.complete:
            lines, apart = measures.told(output.all_rows(), run.recipe.evaluate.ways)
            for kind, published in _published(run, trained).items():
                assert published.facts
                shown = examples.pairs(run.recipe.evaluate.ways, output.all_rows, kind)
                card = partial(cards.model_card, run, published.facts, lines, apart, shown)
                files = plots.files(told) | leaderboards.files(run, lines, told, kind)
                _update_card(run, published, card, told, files)
            tables.render(lines, apart, run.screen.console)


def scored(run: Run, rows: Iterable[Result]) -> dict[str, object]:
    ways = run.recipe.evaluate.ways
    lines, apart = measures.told(rows, ways)
    others = tables.beside(reference.beside(measures.trained(lines, ways)), reference.published().model)
    table = "\n\n".join(filter(None, (tables.markdown(lines, apart), others)))
    return {"table": table, "scores": plots.scores(lines, ways)}


def spoken(recipe: Recipe) -> list[Mapping[str, str]]:
    """What the models are told, for the card: the text of each instruction in the recipe's first language."""
    tongue = recipe.languages[0]
    loaded = {way.instruction: instructions.load(way.instruction, tongue) for way in recipe.evaluate.ways}
    words = {"text": "(the question)", "language_name": instructions.language_name(tongue)}
    return [
        {"instruction": it.label, "text": "\n\n".join(f"[{one.role}]\n{one.content}" for one in it.messages(**words))}
        for it in loaded.values()
    ]


def engines_of(run: Run, trained: Snapshot) -> dict[str, Engine]:
    """The engine for the base model, and for what was made of it: the same but for the model."""
    base = run.recipe.engines[run.recipe.evaluate.engine]
    pinned = run.hub.revision(base.model, "model", base.revision)
    made = {"trained": merged.weights(run, trained)}
    if any(way.model == "merged" for way in run.recipe.evaluate.ways):
        made["merged"] = merged.need(run, made["trained"]).input
    if "reinforced" in (published := _published(run, trained)):
        made["reinforced"] = merged.weights(run, published["reinforced"])
    return {"base": base.model_copy(update={"revision": pinned})} | {
        name: base.model_copy(update={"model": it.repo, "revision": it.revision}) for name, it in made.items()
    }


def _published(run: Run, trained: Snapshot) -> dict[str, Snapshot]:
    """The repos of models whose cards show the results. StageError where the reinforced one is of other weights."""
    found = {"trained": trained}
    if any(way.model == "reinforced" for way in run.recipe.evaluate.ways):
        reinforced = run.hub.need(run.reinforced, "model", "reinforce")
        if reinforced.facts and merged.weights(run, trained) not in reinforced.facts.inputs:
            raise StageError(f"{run.reinforced} was made from other weights than {run.model} has: run reinforce")
        found["reinforced"] = reinforced
    return found


def seen_in_training(run: Run, held: HeldOut, chosen: Snapshot) -> set[str]:
    """The places of the items that are among the prompts trained on. *choose* keeps them out, so there are some only
    where a benchmark was added since."""
    index = held.index(run)
    prompts = {row.prompt.id: row.prompt for row in run.hub.rows(chosen, Conversation)}
    hits = (index.find(prompt.text, prompt.source_text) for prompt in prompts.values())
    return {hit.name for hit in hits if hit}


def questions(recipe: Recipe, models: Mapping[str, Engine], items: Iterable[Asked]) -> list[Question]:
    """All samples to take, of at most `limit` items of each benchmark in each language."""
    wanted, taken = list[Question](), Counter[tuple[str, str]]()
    for asked in items:
        place = asked.benchmark.name, asked.language
        taken[place] += 1
        if recipe.limit is None or taken[place] <= recipe.limit:
            wanted += _asked(recipe, models, asked)
    return wanted


def _asked(recipe: Recipe, models: Mapping[str, Engine], asked: Asked) -> Iterator[Question]:
    config, tongue, text = recipe.evaluate, asked.language, asked.question
    for way in config.ways:
        engine = models[way.model]
        instruction = instructions.load(way.instruction, tongue)
        messages = instruction.messages(text=text, language_name=instructions.language_name(tongue))
        for number in range(config.samples):
            identity = engine.identity(), way.name, instruction.label, config.sampling.model_dump()
            name = digest("result", identity, asked.benchmark.name, tongue, text, number)
            seed = int(digest(recipe.seed, text, number), 16) % 2**31
            yield Question(
                id=name,
                way=way,
                model=engine.model,
                model_revision=engine.revision or "",
                benchmark=asked.benchmark.name,
                item=asked.item,
                tongue=tongue,
                number=number,
                instruction=instruction.label,
                request=Request(messages, config.sampling, seed),
            )


async def _fill(run: Run, output: Output[Result], pending: list[Item[Question]], models: Mapping[str, Engine]) -> None:
    """One model after the other, so that only one of them has to fit into memory."""
    for kind, engine in models.items():
        mine = [item for item in pending if item.value.way.model == kind]
        if not mine:
            continue
        config = run.recipe.evaluate
        opening = any(item.value.request.opening for item in mine)
        async with engines.serve(run, engine, Use(config.sampling, config.samples > 1, opening=opening)) as door:
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
        switches=len(think.switches),
        source_row=question.item.row,
        instruction=question.instruction,
    )


def counts(rows: Iterable[Result]) -> Mapping[str, Mapping[str, int]]:
    table: dict[str, Counter[str]] = {}
    for row in rows:
        steps = {"valid think": row.valid_think, "think in language": row.think_strict, "joint": row.joint}
        table.setdefault(row.language, Counter(asked=0)).update(asked=1, **steps)
    return table


def _update_card(
    run: Run,
    seen: Snapshot,
    written: Callable[..., str],
    told: Facts,
    extra: Mapping[str, bytes],
    attempts: int = 3,
) -> None:
    """On top of what the repo holds by now: a person may have edited the card meanwhile, and may do so once more."""
    assert seen.facts
    head = run.hub.need(seen.repo, "model", seen.facts.stage)
    if head.facts != seen.facts:
        raise PublishConflict(f"{seen.repo} was trained anew while it was being evaluated: run evaluate again")
    card = written(before=run.hub.card(head), files=extra)
    files = {**extra, "README.md": card.encode(), "run/evaluate.json": told.model_dump_json(indent=1).encode()}
    gone = [path for path in head.files if path.startswith(leaderboards.PREFIX) and path not in files]
    try:
        run.hub.publish(seen.repo, "model", "evaluate: results", files, gone, parent=head.revision)
    except PublishConflict:
        if attempts == 1:
            raise
        _update_card(run, seen, written, told, extra, attempts - 1)
