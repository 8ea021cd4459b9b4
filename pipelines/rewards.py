"""What a response is worth in reinforcement learning: accuracy counts only in the right language.

Accuracy alone drives the language of the reasoning to zero; a gate in front of it keeps both (M-Thinker, 2025): a think
block or an answer that is not in the prompt's language, or only in part, is worth -1, whatever it says. All that is
looked at is what *judge* and *evaluate* look at: the anatomy of the response, its languages, its answer.
"""

from dataclasses import dataclass

from pipelines import answers, language
from pipelines.chains import Chain
from pipelines.recipe import Terms

GATED = -1.0
LOOP = "loop"
"""The one defect of `chains` that has a term of its own; all others are the format."""


@dataclass(frozen=True, slots=True)
class Reward:
    """`total` is the sum of the terms, or GATED with the reason in `gate`; None where the answer cannot be decided,
    which is no reason for a reward, nor against one."""

    total: float | None
    gate: str | None
    terms: tuple[tuple[str, float], ...]


def reward(chain: Chain, gold: str, tongue: str, tokens: int, terms: Terms) -> Reward:
    """Of a response of `tokens` tokens to a prompt in `tongue` (ISO 639-1) whose answer is `gold`."""
    labels = {*language.LABELS, tongue}
    think = language.report(chain.reasoning or "", labels)
    if gate := closed(think, language.report(chain.answer, labels), tongue, terms.faithfulness > 0):
        return Reward(GATED, gate, ())
    correct = accuracy(chain.answer, gold, tongue)
    if correct is None:
        return Reward(None, None, ())
    found = (
        ("accuracy", terms.accuracy * correct),
        ("format", terms.format * (not {*chain.defects} - {LOOP})),
        ("faithfulness", terms.faithfulness * faithfulness(think, tongue)),
        ("length", -terms.length * overrun(tokens, terms.budget)),
        (LOOP, -terms.loop * (LOOP in chain.defects)),
    )
    kept = tuple((name, value) for name, value in found if getattr(terms, name))
    return Reward(sum(value for _, value in kept), None, kept)


def closed(think: language.Report, answer: language.Report, tongue: str, shares: bool) -> str | None:
    """Why nothing counts, or None. Where `shares` are rewarded, a think block that is mostly in the language passes;
    an answer without words, a bare number, is in any language."""
    if not (think.majority(tongue) if shares else think.strict(tongue)):
        return f"{think.share(tongue):.0%} of the think block is in {tongue}"
    if answer.shares and not answer.strict(tongue):
        return f"{answer.share(tongue):.0%} of the answer is in {tongue}"
    return None


def accuracy(answer: str, gold: str, tongue: str) -> bool | None:
    """Whether the answer is right; None where that cannot be decided."""
    found = answers.extract(answer, tongue)
    if found is None:
        return False
    kind = answers.verify(gold, found.text, tongue).kind
    return None if kind == "undecidable" else kind == "right"


def faithfulness(think: language.Report, tongue: str) -> float:
    """The share of the determined segments that are in the language, each counted once however long it is."""
    named = [segment.language for segment in think.segments if segment.language != language.UND]
    return named.count(tongue) / len(named) if named else 0.0


def overrun(tokens: int, budget: int) -> float:
    """0 up to half of the budget, 1 from the whole of it on."""
    return min(1.0, max(0.0, 2 * tokens / budget - 1))


def worth_trying(passed: int, candidates: int, above: float = 0.0, below: float = 1.0) -> bool:
    """Whether a prompt can teach anything: some of its candidates passed and some did not."""
    return above * candidates < passed < below * candidates
