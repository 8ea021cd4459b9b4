"""What the pre-flight found, as a person reads it on the screen before the first step."""

from collections.abc import Iterator

from pipelines.training.job import Check, Part

HEAD, END = 700, 300
"""Characters of a long stretch that are shown from its beginning and from its end."""
WIDTH = 40
"""Characters of the longest bar of the histogram."""


def describe(check: Check) -> Iterator[str]:
    tokens = check.measure.languages.values()
    rows, cut = sum(t.rows for t in tokens), sum(t.cut for t in tokens)
    yield f"chat template: {check.template} ({check.why}); its digest is {check.template_digest}"
    for language, t in check.measure.languages.items():
        yield f"{language}: {t.rows} rows, {t.tokens} tokens, {t.trained} of them trained, {t.cut} rows cut"
    yield f"cut at {check.max_length} tokens: {cut} of {rows} rows ({cut / rows:.1%})"
    yield f"the longest row has {check.measure.longest} tokens"
    most = max(count for _, count in check.measure.lengths)
    for bound, count in check.measure.lengths:
        yield f"up to {bound:>6} tokens {'#' * -(-count * WIDTH // most):<{WIDTH}} {count}"
    for subject, seen in check.found.items():
        yield f"{subject}: {seen}"
    for number, excerpt in enumerate(check.excerpts, start=1):
        yield f"row {number} ({excerpt.language}), as the student sees it:"
        for part in excerpt.parts:
            mark = "trained  | " if part.trained else "not      | "
            yield "\n".join(mark + line for line in _shortened(part).splitlines())


def _shortened(part: Part) -> str:
    left_out = len(part.text) - HEAD - END
    if left_out <= 0:
        return part.text
    return f"{part.text[:HEAD]}\n[{left_out} characters]\n{part.text[-END:]}"
