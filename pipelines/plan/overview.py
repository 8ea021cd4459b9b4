"""A plan as Markdown, for a screen and for the page of a run on GitHub."""

from collections.abc import Iterator, Sequence

from pipelines import plan, prices
from pipelines.facts import Spent
from pipelines.flow.budget import told as budget
from pipelines.plan import Estimate
from pipelines.recipe import STAGES, Stage
from pipelines.run import Run

UNKNOWN = "?"
HEAD = ("stage", "rows", "requests", "tokens in", "tokens out", "US dollars", "GPU hours", "known from")


def markdown(run: Run, stages: Sequence[Stage] = STAGES) -> str:
    """What these stages will make and cost, and what the figures rest on."""
    found = [one for one in plan.estimate(run) if one.stage in stages]
    rows = [_row(one) for one in found]
    whole = _amounts(plan.total(spent for one in found for spent in one.spent))
    unpriced = [one.stage for one in found if UNKNOWN in _row(one)]
    table = [HEAD, *rows, ("all", "", *whole, f"money without {', '.join(unpriced)}" if unpriced else "")]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in table]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if left else ":") for width, left in zip(widths, _LEFT, strict=True))
    notes = [f"- {note}" for note in _notes(run, found)]
    return "\n".join([lines[0], rule + "|", *lines[1:], "", *notes]) + "\n"


_LEFT = tuple(name in (HEAD[0], HEAD[-1]) for name in HEAD)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width, left in zip(row, widths, _LEFT, strict=True):
        yield cell.ljust(width) if left else cell.rjust(width)


def _row(one: Estimate) -> tuple[str, ...]:
    if one.done:
        return (one.stage, f"{one.rows:,}", "0", "0", "0", "0", "0", "it is done")
    known = (
        f"a pilot of {one.measured:,} {'tokens' if one.stage in ('train', 'reinforce') else 'requests'}"
        if one.measured
        else ""
    )
    bound = "nothing is asked of a model" if not one.spent else "at most"
    return (one.stage, f"{one.rows:,}", *_amounts(one.total), ", ".join(filter(None, (known or bound, one.note))))


def _amounts(spent: Spent) -> tuple[str, ...]:
    usage = spent.usage
    counts = (f"{count:,}" for count in (usage.requests, usage.prompt_tokens, usage.completion_tokens))
    dollars = UNKNOWN if spent.dollars is None else f"{spent.dollars:,.2f}"
    if spent.dollars is None and not usage.requests and not spent.gpu_hours:
        dollars = "0"
    return (*counts, dollars, UNKNOWN if spent.gpu_hours is None else f"{spent.gpu_hours:,.1f}")


def _notes(run: Run, found: Sequence[Estimate]) -> Iterator[str]:
    asked = [one for one in found if not one.done and one.spent]
    if any(one.measured is None for one in asked):
        yield (
            "At most: no run of this recipe is on the Hub to measure from, so every answer is as long as it may be and "
            "every row passes every check. `--limit 20` on a stage makes a pilot."
        )
        yield f"Assumed there: {plan.QUESTION} tokens for a question with its instruction."
    if limits := run.recipe.budget.model_dump(exclude_none=True):
        yield f"A run stops in order at {budget(limits)}, with all that was made published."
    known = run.recipe.prices.complete()
    if any(one.total.gpu_hours != 0 for one in asked):
        gpu = known.gpu or plan.GPU
        peak = known.gpus[gpu].teraflops
        yield (
            f"GPU hours, where no pilot filled the server: an {gpu} of {peak:g} teraflops at {plan.SERVING:.0%} in "
            f"serving and {plan.TRAINING:.0%} in training; ? where a model's name does not tell its size."
        )
        if known.gpu:
            price = known.gpus[known.gpu]
            yield f"{known.gpu}: {price.dollars:g} US dollars an hour ({_origin(price)})."
        else:
            yield f"GPU hours have no price here, until `prices.gpu` names one of {', '.join(sorted(known.gpus))}."
    for engine in {engine.model: engine for one in asked for engine in run.recipe.engines_of(one.stage)}.values():
        if not engine.url:
            continue
        name = prices.place(engine.url, engine.model)
        if price := known.models.get(name):
            tokens = f"{price.prompt:g} and {price.completion:g} US dollars for a million tokens in and out"
            yield f"{name}: {tokens} ({_origin(price)})."
        elif not engine.accelerators:
            yield f"{name}: no price is known; add it as `prices.models.{name}` to the recipe, or with `--prices FILE`."


def _origin(price: prices.Figure) -> str:
    return ", ".join(filter(None, (price.source, str(price.date or "")))) or "from the recipe"
