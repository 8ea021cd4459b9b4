"""prompts: source data sets -> NAME-prompts.

Samples the sources, removes duplicates, translates where a source is not in the language, and checks that language,
numbers, LaTeX and code survived. A prompt that fails a check is published under `rejected` with the check's name.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from fractions import Fraction

from pipelines import answers, engines, instructions, language, sources
from pipelines.errors import StageError
from pipelines.facts import Input
from pipelines.flow import Item, Output, Placed, each
from pipelines.llm import Door, Request
from pipelines.llm.probe import Use
from pipelines.recipe import Recipe, Sampling, Translate
from pipelines.records import Prompt, digest
from pipelines.run import Run

# a dollar closes a formula only where no space stands before it and no digit after: "$13 and $9" are prices
_LATEX = re.compile(r"\$\$.+?\$\$|\$(?!\s)[^$\n]+?(?<!\s)\$(?!\d)|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def run(run: Run) -> None:
    recipe = run.recipe
    with Output(run, "prompts", run.prompts, Prompt, inputs(run), counts) as output:
        if output.up_to_date():
            return
        wanted = [_item(recipe, tongue, item) for tongue in recipe.languages for item in _sampled(run, tongue)]
        asyncio.run(_fill(run, output, list(output.open(wanted))))
        output.finish()


def inputs(run: Run) -> list[Input]:
    """The Hub data sets among the sources, at their commits."""
    return [sources.revision(source, run.hub) for source in run.recipe.prompts.sources if source.kind == "hub"]


def _sampled(run: Run, tongue: str) -> Iterator[sources.Item]:
    """The items for one language, without those whose text was there before, at most `limit`."""
    seen, count = set[str](), 0
    for source in run.recipe.prompts.sources:
        for item in sources.items(source, tongue, run.recipe.seed, run.hub):
            key = " ".join(item.texts[item.language].casefold().split())
            if key not in seen and (run.recipe.limit is None or count < run.recipe.limit):
                seen.add(key)
                count += 1
                yield item


def _item(recipe: Recipe, tongue: str, item: sources.Item) -> Item[tuple[str, sources.Item]]:
    own = item.texts.get(tongue)
    made_from = (own,) if own else (item.texts[item.language], _translation_digest(recipe, tongue))
    return Item(digest("prompt", tongue, item.dataset, made_from), tongue, (tongue, item))


def _translation_digest(recipe: Recipe, tongue: str) -> str:
    translate = recipe.prompts.translate
    if translate is None:
        raise StageError(f"a source has no text in {tongue} and prompts.translate is not given: add it to the recipe")
    engine = recipe.engines[translate.engine]
    return digest(instructions.load(translate.instruction, tongue).label, engine.model, engine.revision, engine.file)


async def _fill(run: Run, output: Output[Prompt], pending: list[Item[tuple[str, sources.Item]]]) -> None:
    translate = run.recipe.prompts.translate
    foreign = any(tongue not in item.texts for tongue, item in (entry.value for entry in pending))
    async with AsyncExitStack() as stack:
        door = None
        if translate and foreign:
            engine = run.recipe.engines[translate.engine]
            door = await stack.enter_async_context(engines.serve(run, engine, Use(_sampling(translate))))
            output.used(door, engine)

        async def step(value: tuple[str, sources.Item]) -> Placed[Prompt]:
            tongue, item = value
            prompt = await _prompt(run.recipe, door, tongue, item, output)
            return Placed(prompt, tongue, "rejected" if prompt.defects else "data")

        parallel = run.recipe.engines[translate.engine].parallel if translate else 1
        await each(pending, step, parallel, output)


async def _prompt(recipe: Recipe, door: Door | None, tongue: str, item: sources.Item, output: Output[Prompt]) -> Prompt:
    source_text = item.texts[item.language]
    if tongue in item.texts:
        text, translator, found = item.texts[tongue], None, ()
    else:
        assert door
        assert recipe.prompts.translate
        text = await _translated(recipe.prompts.translate, door, source_text, item.language, tongue, output)
        translator = recipe.engines[recipe.prompts.translate.engine].model
        found = defects(source_text, text, tongue, item.language)
    return Prompt(
        id=_item(recipe, tongue, item).id,
        language=tongue,
        text=text,
        source_text=source_text,
        source_language=item.language,
        dataset=item.dataset,
        source_row=item.row,
        family=item.family,
        gold=item.gold,
        translator=translator,
        defects=found,
    )


async def _translated(
    config: Translate, door: Door, text: str, source: str, tongue: str, output: Output[Prompt]
) -> str:
    instruction = instructions.load(config.instruction, tongue)
    output.instructions.add(instruction.label)
    names = {"source_name": instructions.language_name(source), "language_name": instructions.language_name(tongue)}
    reply = await door.ask(Request(instruction.messages(text=text, **names), _sampling(config), seed=0))
    return reply.text.strip()


def _sampling(config: Translate) -> Sampling:
    return Sampling(temperature=0.0, top_p=1.0, max_tokens=config.max_tokens)


def defects(source: str, text: str, tongue: str, source_tongue: str = "en") -> tuple[str, ...]:
    """The checks that a translation fails: `empty`, `language`, `numbers`, `latex`, `code`."""
    if not text:
        return ("empty",)
    report = language.report(text, language.LABELS)
    checks = {
        "language": report.language == tongue,
        "numbers": _same_numbers(source, source_tongue, text, tongue),
        "latex": Counter(_LATEX.findall(source)) == Counter(_LATEX.findall(text)),
        "code": Counter(_CODE.findall(source)) == Counter(_CODE.findall(text)),
    }
    return tuple(name for name, holds in checks.items() if not holds)


def _same_numbers(source: str, source_tongue: str, text: str, tongue: str) -> bool:
    """Whether every number is still there, in whatever notation, and no other but what the source says in words."""
    left = [set(map(abs, readings)) for readings in answers.values(text, tongue)]
    for readings in answers.values(source, source_tongue):
        match = next((number for number in left if not number.isdisjoint(map(abs, readings))), None)
        if match is None:
            return False
        left.remove(match)
    said = answers.said(source) if left and source_tongue == "en" else set[Fraction]()
    return all(number & said for number in left)


def counts(prompts: Iterable[Prompt]) -> Mapping[str, Mapping[str, int]]:
    """Per language: sampled, then good, then how many each check refused."""
    table: dict[str, Counter[str]] = {}
    for prompt in prompts:
        row = table.setdefault(prompt.language, Counter(sampled=0, translated=0, good=0))
        row.update(sampled=1, translated=prompt.translator is not None, good=not prompt.defects)
        row.update(f"lost: {name}" for name in prompt.defects)
    return table
