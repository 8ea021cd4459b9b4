"""choose: NAME-judged -> NAME, the data set to train on.

The best candidates of each prompt by the recipe's rule. All others are kept in config `rejected`, each with the reason.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain

from pipelines import chains, held_out
from pipelines.contamination import Hit, Index
from pipelines.flow import Output, Placed
from pipelines.hub import Snapshot
from pipelines.recipe import Choose
from pipelines.records import Conversation, Judged, Message
from pipelines.run import Run

CONTAMINATED = "held out"
"""How the reason of a row begins whose prompt is an item of a benchmark."""


def run(run: Run) -> None:
    source = run.hub.need(run.judged, "dataset", "judge")
    output = Output(run, "choose", run.chosen, Conversation, [source.input])
    if output.up_to_date():
        return
    output.restart()
    held = held_out.load(run)
    reasons = verdicts(_judged(run, source), run.recipe.choose, held.index(run))
    for row in _judged(run, source):
        reason = reasons[row.id]
        output.add(Placed(conversation(row, reason), row.prompt.language, "rejected" if reason else "data"))
    passed = source.facts.counts if source.facts else {}
    compared = list(dict.fromkeys(asked.benchmark.name for asked in held.items))
    details = {"compared": compared, "not_compared": [str(one) for one in held.skipped]}
    output.finish(lambda rows: funnel(rows, passed), details)


def _judged(run: Run, source: Snapshot) -> Iterable[Judged]:
    languages = run.recipe.languages
    folders = ("data", "rejected")
    return chain.from_iterable(run.hub.rows(source, Judged, folder, languages) for folder in folders)


def verdicts(rows: Iterable[Judged], config: Choose, held: Index) -> dict[str, str | None]:
    """Per candidate why it is not chosen, or None where it is. What an evaluation will ask is not trained on."""
    reasons: dict[str, str | None] = {}
    ranked: dict[str, list[tuple[tuple[float, ...], str]]] = {}
    hits: dict[str, Hit | None] = {}
    for row in rows:
        if row.prompt.id not in hits:
            hits[row.prompt.id] = held.find(row.prompt.text, row.prompt.source_text)
        if row.stopped:
            reasons[row.id] = f"{row.stopped}: {row.reason}"
        elif hit := hits[row.prompt.id]:
            reasons[row.id] = f"{CONTAMINATED}: {hit.share:.0%} of {hit.name}"
        elif row.outcome != "right" and not config.unverified:
            reasons[row.id] = "the answer could not be verified"
        else:
            ranked.setdefault(row.prompt.id, []).append((rank(row, config), row.id))
    for candidates in ranked.values():
        for place, (_, name) in enumerate(sorted(candidates), start=1):
            reasons[name] = None if place <= config.per_prompt else f"place {place} among the prompt's candidates"
    return reasons


def rank(row: Judged, config: Choose) -> tuple[float, ...]:
    """The sort key of the recipe's rule: the lower, the better. A judge that gave no score ranks last."""
    return tuple(_key(row, name) for name in config.rank)


def _key(row: Judged, name: str) -> float:
    column = name.removeprefix("-")
    value = float(row.completion_tokens) if column == "tokens" else row.score(column)
    if value is None:
        return float("inf")
    return value if name.startswith("-") else -value


def conversation(row: Judged, reason: str | None) -> Conversation:
    """The training example: the prompt as it was asked, and the response in its canonical form."""
    response = chains.join(row.reasoning or "", row.answer)
    return Conversation(
        id=row.id,
        language=row.prompt.language,
        messages=(Message(role="user", content=row.prompt.text), Message(role="assistant", content=response)),
        prompt=row.prompt,
        candidate=row.candidate,
        teacher=row.model,
        teacher_revision=row.model_revision,
        outcome=row.outcome,
        scores=row.scores,
        tokens=row.completion_tokens,
        reason=reason,
    )


def funnel(rows: Iterable[Conversation], passed: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
    """The judges' funnel, how many of the rest are no benchmark items, and how many were chosen in the end."""
    chosen, held = Counter[str](), Counter[str]()
    for row in rows:
        chosen[row.language] += row.reason is None
        held[row.language] += bool(row.reason and row.reason.startswith(CONTAMINATED))
    return {
        language: {
            **counts,
            "no benchmark item": min(counts.values(), default=0) - held[language],
            "chosen": chosen[language],
        }
        for language, counts in passed.items()
    }
