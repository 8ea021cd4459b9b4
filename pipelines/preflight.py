"""Before the first step: tokenize the rows, and refuse to train where the labels would teach the wrong thing.

The loss is on the last response alone, from behind the generation prompt to the end of the turn: what the model will
have to write, token for token. The labels are made here rather than by TRL's `assistant_only_loss`, because TRL's
training templates also train tokens of the generation prompt (the line break after `assistant` of Qwen's, the
`<think>` of DeepSeek's), and because the length of a row has to be known before the trainer cuts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipelines.chat_template import Refused, missing, render
from pipelines.trainjob import Part, Row, Tokens

MASKED = -100
"""The label of a token that is read and not trained (what torch's cross entropy ignores)."""


@dataclass(frozen=True, slots=True)
class Example:
    row: Row
    prompt: int
    """Tokens of the prompt, generation prompt included."""
    ids: list[int]
    labels: list[int]


def prepare(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, template: str, stops: frozenset[int]
) -> list[Example]:
    """Tokens and labels of all rows. `stops` are the tokens that end a turn."""
    rendered = [render(tokenizer, template, row.messages) for row in rows]
    prompts = tokenizer([prompt for prompt, _ in rendered], add_special_tokens=False)["input_ids"]
    wholes = tokenizer([whole for _, whole in rendered], add_special_tokens=False)["input_ids"]
    return [_example(*parts, stops) for parts in zip(rows, prompts, wholes, strict=True)]


def _example(row: Row, prompt: list[int], ids: list[int], stops: frozenset[int]) -> Example:
    start = len(prompt)
    if ids[:start] != prompt:
        raise Refused(
            f"row {row.id}: the tokens of the prompt are not the first tokens of the prompt with its response, so "
            "the model would be trained on another prompt than it is asked: give train.template"
        )
    end = next((i + 1 for i in range(len(ids) - 1, start - 1, -1) if ids[i] in stops), len(ids))
    return Example(row, start, ids, [MASKED] * start + ids[start:end] + [MASKED] * (len(ids) - end))


def fault(
    example: Example, labels: Sequence[int], tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]
) -> str | None:
    """What the labels would teach wrongly; None where they are in order."""
    trained = [label for label in labels if label != MASKED]
    if any(label != MASKED for label in labels[: example.prompt]):
        return "tokens of the prompt are trained"
    if part := missing(example.row.messages[-1]["content"], str(tokenizer.decode(trained))):
        return f"the {part} is missing from what is trained"
    if not trained or trained[-1] not in stops:
        return "the end of the turn is not trained, so the model would never stop"
    return None


def check(
    examples: Sequence[Example],
    fed: Iterable[tuple[Sequence[int], Sequence[int]]],
    tokenizer: PreTrainedTokenizerBase,
    stops: frozenset[int],
) -> None:
    """Refuse unless the (ids, labels) that are `fed` to the model are right; rows that were cut are not judged."""
    known = {tuple(example.ids): example for example in examples}
    seen = 0
    for ids, labels in fed:
        if example := known.get(tuple(ids)):
            seen += 1
            if wrong := fault(example, labels, tokenizer, stops):
                raise Refused(f"row {example.row.id}: {wrong}; give train.template, or check the row")
    if not seen:
        raise Refused("not one row reaches the model whole: raise train.sft.max_length")


def measure(examples: Sequence[Example], max_length: int | None) -> dict[str, Tokens]:
    """Rows, tokens and rows to be cut, per language."""
    by_language: dict[str, list[Example]] = {}
    for example in examples:
        by_language.setdefault(example.row.language, []).append(example)
    return {
        language: Tokens(
            rows=len(group),
            tokens=sum(len(example.ids) for example in group),
            trained=sum(label != MASKED for example in group for label in example.labels),
            cut=sum(max_length is not None and len(example.ids) > max_length for example in group),
        )
        for language, group in sorted(by_language.items())
    }


def refuse_cut(languages: Mapping[str, Tokens], longest: int, max_length: int | None, allowed: float) -> None:
    """Refuse if more than the allowed share of rows would lose their end, and with it the answer."""
    cut, rows = sum(t.cut for t in languages.values()), sum(t.rows for t in languages.values())
    if cut > allowed * rows:
        raise Refused(
            f"{cut} of {rows} rows are longer than max_length {max_length} (the longest: {longest} tokens) and would "
            f"lose their end; train.cut allows {allowed:.0%}: raise train.sft.max_length or train.cut"
        )


def excerpt(ids: Sequence[int], labels: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> tuple[Part, ...]:
    """The text of one example, in stretches that are trained and stretches that are not."""
    runs: list[tuple[bool, list[int]]] = []
    for token, label in zip(ids, labels, strict=True):
        trained = label != MASKED
        if not runs or runs[-1][0] != trained:
            runs.append((trained, []))
        runs[-1][1].append(token)
    return tuple(Part(trained=trained, text=str(tokenizer.decode(run))) for trained, run in runs)
