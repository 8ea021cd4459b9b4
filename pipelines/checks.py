"""What can be found out about a candidate without asking a model: structure, languages, the answer against gold.

*judge* stops a candidate by it; *generate* asks it whether a prompt needs more samples.
"""

from pipelines import answers, language
from pipelines.recipe import Judge
from pipelines.records import Candidate, Judged, Share, digest


def passes(candidate: Candidate, config: Judge) -> bool:
    """Whether no check without a model stops it."""
    return checked(config, "", candidate).stopped is None


def checked(config: Judge, told: str, candidate: Candidate) -> Judged:
    """All checks up to the first that stops it. The row's id covers `told`, which is what the judges are told."""
    row = free_checks(candidate, config, digest(candidate.id, told))
    return verified(row) if row.stopped is None and row.prompt.gold is not None else row


def free_checks(candidate: Candidate, config: Judge, name: str) -> Judged:
    """Structure and language: what costs no request. The think block must be in the prompt's language by the purity
    that the recipe asks for; the answer's language may be undetermined, since a bare number has none."""
    wanted, labels = candidate.prompt.language, config.labels or language.LABELS
    think = language.report(candidate.reasoning or "", {*labels, wanted})
    answer = language.report(candidate.answer, {*labels, wanted})
    stopped = reason = None
    if candidate.defects:
        stopped, reason = "structure", ", ".join(candidate.defects)
    elif think.share(wanted) < config.purity:
        stopped, reason = "language", f"{think.share(wanted):.0%} of the think block is in {wanted}"
    elif answer.language not in (wanted, language.UND):
        stopped, reason = "language", f"the answer is in {answer.language}"
    found = answers.extract(candidate.answer, wanted)
    return Judged(
        **{key: getattr(candidate, key) for key in Candidate.model_fields if key != "id"},
        id=name,
        candidate=candidate.id,
        stopped=stopped,
        reason=reason,
        think_language=think.language,
        think_purity=think.share(wanted),
        answer_language=answer.language,
        shares=tuple(Share(language=label, share=share) for label, share in think.shares),
        extracted=found.text if found else None,
        outcome=None,
        scores=(),
    )


def verified(row: Judged) -> Judged:
    """The answer against gold. A wrong answer stops the row; one that cannot be decided is left to the judges."""
    assert row.prompt.gold is not None
    if row.extracted is None:
        return row.model_copy(update={"outcome": "wrong", "stopped": "answer", "reason": "no answer was found"})
    verdict = answers.verify(row.prompt.gold, row.extracted, row.prompt.language)
    if verdict.kind != "wrong":
        return row.model_copy(update={"outcome": verdict.kind})
    reason = f"{row.extracted!r} where {row.prompt.gold!r} is right: {verdict.reason}"
    return row.model_copy(update={"outcome": "wrong", "stopped": "answer", "reason": reason})
