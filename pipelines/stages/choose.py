"""choose: NAME-judged -> NAME, the data set to train on.

The best candidates of each prompt by the recipe's rule. All others are kept in config `rejected`, each with the reason.
The chosen ones are there once more in the columns that other programs expect (`formats`).
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipelines import chains, held_out, plots
from pipelines.contamination import Index
from pipelines.examples import LANGUAGES, cut
from pipelines.facts import Counts
from pipelines.flow import Output, Placed
from pipelines.formats import Formats
from pipelines.hub import Snapshot
from pipelines.ids import IdSet, key
from pipelines.recipe import Choose
from pipelines.records import OUTRANKED, Conversation, Judged, Message, Origin
from pipelines.run import Run

CONTAMINATED = "held out"
"""How the reason of a row begins whose prompt is an item of a benchmark."""
JUDGES = ("calibration", "warnings", "disagreement")
"""What *judge* found out about its judges, which whoever trains on their choice should read too."""


def run(run: Run) -> None:
    source = run.hub.need(run.judged, "dataset", "judge")
    with (
        Output(run, "choose", run.chosen, Conversation, [source.input], lambda _: {}) as output,
        TemporaryDirectory(prefix="thinkin-choose-") as folder,
        Formats(Path(folder)) as formats,
    ):
        if output.up_to_date():
            return
        output.restart()
        held = held_out.load(run)
        places = Places(_judged(run, source), run.recipe.choose, held.index(run))
        chosen, contaminated, spread = Counter[str](), Counter[str](), plots.Spread()
        examples: dict[str, Conversation] = {}
        for row in _judged(run, source):
            reason = places.reason(row)
            made = conversation(row, reason)
            output.add(Placed(made, row.prompt.language, "rejected" if reason else "data"))
            if reason is None:
                examples.setdefault(row.prompt.language, made)
                formats.add(row)
                spread.add(row.prompt.language, tokens=row.completion_tokens, share=row.think_purity)
            chosen[row.prompt.language] += reason is None
            contaminated[row.prompt.language] += bool(reason and reason.startswith(CONTAMINATED))
        compared = list(dict.fromkeys(asked.benchmark.name for asked in held.items))
        told = source.facts.details if source.facts else {}
        judges = {name: value for name, value in told.items() if name in JUDGES}
        details = {"compared": compared, "not_compared": [str(one) for one in held.skipped], **judges}
        details |= {"spread": spread.quantiles(), "examples": shown(examples, run.recipe.languages)}
        counts = funnel(source.facts.counts if source.facts else {}, contaminated, chosen)
        output.finish_whole(counts, details, formats.finish())


def shown(rows: Mapping[str, Conversation], languages: Iterable[str]) -> list[Mapping[str, str]]:
    """What the card shows of the rows, one of a language, in the recipe's order."""
    order = [rows[language] for language in languages if language in rows][:LANGUAGES]
    return [
        {"language": row.language, **{message.role: cut(message.content) for message in row.messages}} for row in order
    ]


def _judged(run: Run, source: Snapshot) -> Iterable[Judged]:
    languages = run.recipe.languages
    folders = ("data", "rejected")
    return chain.from_iterable(run.hub.rows(source, Judged, folder, languages) for folder in folders)


class Places:
    """The place of each candidate among those of its prompt that can be chosen, in a few bytes each."""

    def __init__(self, rows: Iterable[Judged], config: Choose, held: Index) -> None:
        """What an evaluation will ask, as `held` finds it, is not trained on."""
        self.config, self._hits, looked_for = config, dict[int, str](), IdSet()
        prompts, names, ranks = array("Q"), array("Q"), array("d")
        for row in rows:
            prompt = key(row.prompt.id)
            if looked_for.add(prompt) and (hit := held.find(row.prompt.text, row.prompt.source_text)):
                self._hits[prompt] = f"{CONTAMINATED}: {hit.share:.0%} of {hit.name}"
            if self._refusal(row) is None:
                prompts.append(prompt)
                names.append(key(row.id))
                ranks.extend(rank(row, config))
        columns = np.array(ranks).reshape(len(names), len(config.rank))
        order = np.lexsort((names, *columns.T[::-1], prompts))
        prompt, name = np.array(prompts, np.uint64)[order], np.array(names, np.uint64)[order]
        place = np.arange(len(order)) - np.searchsorted(prompt, prompt) + 1
        by_name = np.argsort(name)
        self._names, self._places = array("Q", name[by_name].tobytes()), array("q", place[by_name].tobytes())

    def reason(self, row: Judged) -> str | None:
        """Why it is not chosen, or None where it is."""
        if found := self._refusal(row):
            return found
        place = self._places[bisect_left(self._names, key(row.id))]
        return None if place <= self.config.per_prompt else f"{OUTRANKED} {place} among the prompt's candidates"

    def _refusal(self, row: Judged) -> str | None:
        """Why it cannot be chosen, whatever the others are like."""
        if row.stopped:
            return f"{row.stopped}: {row.reason}"
        if hit := self._hits.get(key(row.prompt.id)):
            return hit
        if row.outcome != "right" and not self.config.unverified:
            return "the answer could not be verified"
        return None


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
        origin=origin(row),
    )


def origin(row: Judged) -> Origin:
    if row.think_purity is not None and row.think_purity < 1.0:
        return "mixed"
    return "translated" if row.prompt.translator else "native"


def funnel(passed: Counts, contaminated: Mapping[str, int], chosen: Mapping[str, int]) -> Counts:
    """The judges' funnel, how many of the rest are no benchmark items, and how many were chosen in the end."""
    return {
        language: {
            **counts,
            "decontaminated": min(counts.values(), default=0) - contaminated.get(language, 0),
            "chosen": chosen.get(language, 0),
        }
        for language, counts in passed.items()
    }
