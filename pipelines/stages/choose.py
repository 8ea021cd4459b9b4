"""choose: NAME-judged -> NAME, the data set to train on.

The best candidates of each prompt by the recipe's rule. All others are kept in config `rejected`, each with the reason.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain

from pipelines import chains
from pipelines.flow import Output, Placed
from pipelines.hub import Snapshot
from pipelines.recipe import Choose
from pipelines.records import Conversation, Judged, Message
from pipelines.run import Run


def run(run: Run) -> None:
    source = run.hub.need(run.judged, "dataset", "judge")
    output = Output(run, "choose", run.chosen, Conversation, [source.input])
    if output.up_to_date():
        return
    output.restart()
    reasons = verdicts(_judged(run, source), run.recipe.choose)
    for row in _judged(run, source):
        reason = reasons[row.id]
        output.add(Placed(conversation(row, reason), row.prompt.language, "rejected" if reason else "data"))
    passed = source.facts.counts if source.facts else {}
    output.finish(lambda rows: funnel(rows, passed))


def _judged(run: Run, source: Snapshot) -> Iterable[Judged]:
    languages = run.recipe.languages
    folders = ("data", "rejected")
    return chain.from_iterable(run.hub.rows(source, Judged, folder, languages) for folder in folders)


def verdicts(rows: Iterable[Judged], config: Choose) -> dict[str, str | None]:
    """Per candidate why it is not chosen, or None where it is."""
    reasons: dict[str, str | None] = {}
    ranked: dict[str, list[tuple[tuple[float, ...], str]]] = {}
    for row in rows:
        if row.stopped:
            reasons[row.id] = f"{row.stopped}: {row.reason}"
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
    """The judges' funnel, and how many were chosen in the end."""
    chosen = Counter(row.language for row in rows if row.reason is None)
    return {language: {**counts, "chosen": chosen[language]} for language, counts in passed.items()}
