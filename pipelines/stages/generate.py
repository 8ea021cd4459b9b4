"""generate: NAME-prompts -> NAME-candidates.

N samples of the teacher for every prompt, one request each with its own seed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from pipelines import chains, engines, instructions
from pipelines.diagnosis import CutOff
from pipelines.flow import Item, Output, Placed, each
from pipelines.hub import Snapshot
from pipelines.instructions import Instruction
from pipelines.llm import Reply, Request
from pipelines.llm.probe import Use
from pipelines.recipe import Recipe
from pipelines.records import Candidate, Prompt, digest
from pipelines.run import Run


@dataclass(frozen=True, slots=True)
class Asking:
    """How the prompts of a language are asked; `payload` is the digest of all in it but the prompt."""

    instruction: Instruction
    payload: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample to take, and the id of its row."""

    id: str
    prompt: Prompt
    number: int
    asking: Asking


def run(run: Run) -> None:
    source = run.hub.need(run.prompts, "dataset", "prompts")
    with Output(run, "generate", run.candidates, Candidate, [source.input], counts) as output:
        if output.up_to_date():
            return
        engine = run.recipe.engines[run.recipe.generate.engine]
        revision = run.hub.revision(engine.model, "model", engine.revision) if not engine.url else engine.revision or ""
        prompts = run.hub.rows(source, Prompt, languages=run.recipe.languages)
        asked = askings(run.recipe)
        pending = output.open(
            (item for prompt in prompts for item in samples(run.recipe, prompt, asked[prompt.language], revision)),
            expected(run.recipe, source),
        )
        if first := next(pending, None):
            asyncio.run(_fill(run, output, first, pending, revision))
        output.finish()


def expected(recipe: Recipe, source: Snapshot) -> int:
    """How many samples there are in all, by the facts of the prompts."""
    told = source.facts.counts if source.facts else {}
    return recipe.generate.samples * sum(told.get(language, {}).get("good", 0) for language in recipe.languages)


async def _fill(
    run: Run, output: Output[Candidate], first: Item[Sample], others: Iterable[Item[Sample]], revision: str
) -> None:
    config = run.recipe.generate
    engine = run.recipe.engines[config.engine]
    opening = bool(request(run.recipe, first.value).opening)
    cut_off = CutOff(config.sampling.max_tokens)
    async with engines.serve(run, engine, Use(config.sampling, several=config.samples > 1, opening=opening)) as door:
        output.used(door, engine)

        async def step(sample: Sample) -> Placed[Candidate]:
            reply = await door.ask(request(run.recipe, sample))
            cut_off.ended(reply.finish_reason)
            output.instructions.add(sample.asking.instruction.label)
            return Placed(candidate(run.recipe, sample, reply, revision), sample.prompt.language)

        await each(chain([first], others), step, engine.parallel, output)


def askings(recipe: Recipe) -> Mapping[str, Asking]:
    """Per language, how its prompts are asked."""
    config, engine = recipe.generate, recipe.engines[recipe.generate.engine]
    found = {language: instructions.load(config.instruction, language) for language in recipe.languages}
    return {
        language: Asking(instruction, digest(instruction.label, config.sampling.model_dump(), engine.context))
        for language, instruction in found.items()
    }


def samples(recipe: Recipe, prompt: Prompt, asking: Asking, revision: str) -> Iterator[Item[Sample]]:
    """The samples to take for a prompt. The id covers prompt, number, request and model. What is asked is made later,
    by `request`: most samples of a resumed run are there."""
    engine = recipe.engines[recipe.generate.engine]
    for number in range(recipe.generate.samples):
        name = digest("candidate", prompt.id, number, asking.payload, engine.model, engine.file, revision)
        yield Item(name, prompt.language, Sample(name, prompt, number, asking), prompt.id)


def seed(recipe: Recipe, sample: Sample) -> int:
    return int(digest(recipe.seed, sample.prompt.id, sample.number), 16) % 2**31


def request(recipe: Recipe, sample: Sample) -> Request:
    named = instructions.language_name(sample.prompt.language)
    messages = sample.asking.instruction.messages(text=sample.prompt.text, language_name=named)
    return Request(messages, recipe.generate.sampling, seed(recipe, sample))


def candidate(recipe: Recipe, sample: Sample, reply: Reply, revision: str) -> Candidate:
    found, engine = reply.chain(), recipe.engines[recipe.generate.engine]
    return Candidate(
        id=sample.id,
        prompt=sample.prompt,
        sample=sample.number,
        seed=seed(recipe, sample),
        reasoning=found.reasoning,
        answer=found.answer,
        defects=chains.defects(found, reply.finish_reason),
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        engine=engine.kind,
        model=engine.model,
        model_revision=revision,
        payload=sample.asking.payload,
    )


def counts(candidates: Iterable[Candidate]) -> Mapping[str, Mapping[str, int]]:
    """Per language: how many were generated, and how many of them ended by themselves."""
    table: dict[str, Counter[str]] = {}
    for row in candidates:
        table.setdefault(row.prompt.language, Counter(generated=0, finished=0)).update(
            generated=1, finished=row.finish_reason == "stop"
        )
    return table
