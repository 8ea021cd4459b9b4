"""generate: NAME-prompts -> NAME-candidates.

N samples of the teacher for every prompt, one request each with its own seed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines import chains, engines, instructions
from pipelines.flow import Item, Output, Placed, each
from pipelines.llm import Reply, Request
from pipelines.recipe import Recipe
from pipelines.records import Candidate, Prompt, digest
from pipelines.run import Run


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample to take: the id of its row, its seed, and what is asked."""

    id: str
    prompt: Prompt
    number: int
    payload: str
    request: Request


def run(run: Run) -> None:
    source = run.hub.need(run.prompts, "dataset", "prompts")
    output = Output(run, "generate", run.candidates, Candidate, [source.input])
    if output.up_to_date():
        return
    engine = run.recipe.engines[run.recipe.generate.engine]
    revision = run.hub.revision(engine.model, "model", engine.revision) if not engine.url else engine.revision or ""
    prompts = run.hub.rows(source, Prompt, languages=run.recipe.languages)
    pending = output.open(
        [Item(one.id, one.prompt.language, one) for p in prompts for one in samples(run.recipe, p, revision)]
    )
    if pending:
        asyncio.run(_fill(run, output, pending, revision))
    output.finish(counts)


async def _fill(run: Run, output: Output[Candidate], pending: list[Item[Sample]], revision: str) -> None:
    engine = run.recipe.engines[run.recipe.generate.engine]
    for language in {item.language for item in pending}:
        output.instructions.add(instructions.load(run.recipe.generate.instruction, language).label)
    async with engines.serve(engine, run.hub) as door:
        output.used(door, engine)

        async def step(sample: Sample) -> Placed[Candidate]:
            reply = await door.ask(sample.request)
            return Placed(candidate(sample, reply, engine.kind, engine.model, revision), sample.prompt.language)

        await each(pending, step, engine.parallel, output)


def samples(recipe: Recipe, prompt: Prompt, revision: str) -> Iterable[Sample]:
    """The samples to take for a prompt. Its id covers prompt, number, request and model."""
    config, engine = recipe.generate, recipe.engines[recipe.generate.engine]
    instruction = instructions.load(config.instruction, prompt.language)
    payload = digest(instruction.label, config.sampling.model_dump(), engine.context)
    messages = instruction.messages(text=prompt.text, language_name=instructions.language_name(prompt.language))
    for number in range(config.samples):
        name = digest("candidate", prompt.id, number, payload, engine.model, engine.file, revision)
        seed = int(digest(recipe.seed, prompt.id, number), 16) % 2**31
        yield Sample(name, prompt, number, payload, Request(messages, config.sampling, seed))


def candidate(sample: Sample, reply: Reply, engine: str, model: str, revision: str) -> Candidate:
    found = reply.chain()
    return Candidate(
        id=sample.id,
        prompt=sample.prompt,
        sample=sample.number,
        seed=sample.request.seed,
        reasoning=found.reasoning,
        answer=found.answer,
        defects=chains.defects(found, reply.finish_reason),
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        engine=engine,
        model=model,
        model_revision=revision,
        payload=sample.payload,
    )


def counts(candidates: Iterable[Candidate]) -> Mapping[str, Mapping[str, int]]:
    """Per language: how many were generated, and how many of them ended by themselves."""
    table: dict[str, Counter[str]] = {}
    for row in candidates:
        table.setdefault(row.prompt.language, Counter(generated=0, finished=0)).update(
            generated=1, finished=row.finish_reason == "stop"
        )
    return table
