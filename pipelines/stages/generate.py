"""generate: NAME-prompts -> NAME-candidates.

N samples of the teacher for every prompt, one request each with its own seed; or as many as it takes, in waves.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import uvloop

from pipelines import chains, checks, engines, instructions
from pipelines.diagnosis import CutOff
from pipelines.flow import Item, Output, Placed, each
from pipelines.hub import Snapshot
from pipelines.instructions import Instruction
from pipelines.llm import Reply, Request
from pipelines.llm.probe import Use
from pipelines.recipe import Generate, Recipe
from pipelines.records import Candidate, Prompt, digest, digests
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
        waves = Waves(run, output, revision)
        items = (item for prompt in prompts for item in waves.first(prompt))
        pending = output.open(items, expected(run.recipe, source))
        if first := next(pending, None):
            # a tenth less of the processor than on asyncio's own loop
            uvloop.run(_fill(run, output, first, pending, waves, revision))
        output.finish()


def expected(recipe: Recipe, source: Snapshot) -> int:
    """How many samples there are at least, by the facts of the prompts."""
    told, config = source.facts.counts if source.facts else {}, recipe.generate
    prompts = sum(told.get(language, {}).get("good", 0) for language in recipe.languages)
    return prompts * (config.adaptive.floor if config.adaptive else config.samples)


async def _fill(
    run: Run,
    output: Output[Candidate],
    first: Item[Sample],
    others: Iterable[Item[Sample]],
    waves: "Waves",
    revision: str,
) -> None:
    config = run.recipe.generate
    engine = run.recipe.engines[config.engine]
    opening = bool(request(run.recipe, first.value).opening)
    cut_off = CutOff(config.sampling.max_tokens)
    async with engines.serve(run, engine, Use(config.sampling, several=config.samples > 1, opening=opening)) as door:
        output.used(door, engine)

        async def step(sample: Sample) -> Placed[Candidate]:
            asked = request(run.recipe, sample)
            reply = await door.ask(asked)
            cut_off.ended(reply.finish_reason)
            output.instructions.add(sample.asking.instruction.label)
            row = candidate(run.recipe, sample, asked, reply, revision)
            if run.recipe.generate.adaptive:
                passed = await asyncio.to_thread(checks.passes, row, run.recipe.judge)
                row = row.model_copy(update={"passed": passed})
            return Placed(row, sample.prompt.language)

        more = waves.more if config.adaptive else None
        await each(chain([first], others), step, engine.parallel, output, more=more)


def wanted(known: Mapping[int, bool], config: Generate) -> list[int]:
    """The samples of a prompt to take next, given which of those that were taken are good. It depends on nothing else,
    so a run that was broken off goes on as it would have gone."""
    top = config.adaptive.floor if config.adaptive else config.samples
    while not (missing := [number for number in range(top) if number not in known]):
        good, rule = sum(known[number] for number in range(top)), config.adaptive
        if rule is None or top == config.samples or good >= rule.target or (good == 0 and top >= rule.give_up):
            return []
        top = min(config.samples, top + rule.target - good)
    return missing


class Waves:
    """The samples to take of each prompt: some at first, and more where those were not good enough."""

    def __init__(self, run: Run, output: Output[Candidate], revision: str) -> None:
        self.run, self.output, self.revision = run, output, revision
        self.asked = askings(run.recipe)
        self._known, self._awaited = dict[str, dict[int, bool]](), dict[str, set[int]]()

    def first(self, prompt: Prompt) -> Iterable[Item[Sample]]:
        """The samples that are there already, and those to take now."""
        items = samples(self.run.recipe, prompt, self.asked[prompt.language], self.revision)
        if self.run.recipe.generate.adaptive is None:
            return items
        every = list(items)
        told = {number: self.output.passed(item.id) for number, item in enumerate(every)}
        known = {number: passed for number, passed in told.items() if passed is not None}
        awaited = wanted(known, self.run.recipe.generate)
        if awaited and self.run.shard.holds(prompt.id):
            self._known[prompt.id], self._awaited[prompt.id] = known, set(awaited)
        return [every[number] for number in sorted({*known, *awaited})]

    def more(self, item: Item[Sample], placed: Placed[Candidate] | None) -> Iterable[Item[Sample]]:
        """Once the last sample of a wave is there: the next wave of its prompt. A failed sample is no good one."""
        prompt = item.value.prompt
        known, awaited = self._known[prompt.id], self._awaited[prompt.id]
        known[item.value.number] = bool(placed and placed.row.passed)
        awaited.discard(item.value.number)
        if awaited:
            return []
        awaited |= set(wanted(known, self.run.recipe.generate))
        if not awaited:
            del self._known[prompt.id], self._awaited[prompt.id]
        every = list(samples(self.run.recipe, prompt, item.value.asking, self.revision))
        return list(self.output.pending(every[number] for number in sorted(awaited)))


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
    after = asking.payload, engine.model, engine.file, revision
    names = digests(("candidate", prompt.id), range(recipe.generate.samples), after)
    for number, name in enumerate(names):
        yield Item(name, prompt.language, Sample(name, prompt, number, asking), prompt.id)


def seed(recipe: Recipe, sample: Sample) -> int:
    return int(digest(recipe.seed, sample.prompt.id, sample.number), 16) % 2**31


def request(recipe: Recipe, sample: Sample) -> Request:
    named = instructions.language_name(sample.prompt.language)
    messages = sample.asking.instruction.messages(text=sample.prompt.text, language_name=named)
    return Request(messages, recipe.generate.sampling, seed(recipe, sample))


def candidate(recipe: Recipe, sample: Sample, asked: Request, reply: Reply, revision: str) -> Candidate:
    found, engine = reply.chain(), recipe.engines[recipe.generate.engine]
    return Candidate(
        id=sample.id,
        prompt=sample.prompt,
        sample=sample.number,
        seed=asked.seed,
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
    """Per language: how many were generated, how many of them ended by themselves, and how many passed the checks where
    those decided how many to take."""
    table: dict[str, dict[str, int]] = {}
    for row in candidates:
        told = table.setdefault(row.prompt.language, {"generated": 0, "finished": 0})
        told["generated"] += 1
        told["finished"] += row.finish_reason == "stop"
        if row.passed is not None:
            told["passed"] = told.get("passed", 0) + row.passed
    return table
