"""Before the first step: refuse to train where the rows would teach the wrong thing, and tell a person what was seen.

What is judged is what the trainer hands to the model: batches are taken from its own collator, after its own packing,
and read back from tokens to text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_trainer import SFTTrainer

from pipelines.training.chat_template import Refused, missing
from pipelines.training.job import Excerpt, Measure, Part
from pipelines.training.preparation import MASKED

LOOKED_AT = 64
"""Packs, or rows where there are none, that are read back from the trainer's own batches."""
SHOWN = 3
"""Rows that a person gets to see."""


@dataclass(frozen=True, slots=True)
class Fed:
    """A row as the model gets it, and the row that it was made from."""

    id: str
    language: str
    response: str
    prompt: int
    """Tokens of the prompt, generation prompt included."""
    ids: Sequence[int]
    labels: Sequence[int]


def read_back(trainer: SFTTrainer, prepared: Dataset) -> list[Fed]:
    """What the trainer feeds first, each with the row of `prepared` that it is; rows that were cut are left out."""
    batches = {tuple(ids): labels for ids, labels in _batches(trainer)}
    lengths = set(map(len, batches))
    whole = [i for i, length in enumerate(prepared["length"]) if length in lengths]
    columns = ["id", "language", "response", "prompt", "input_ids"]
    found: dict[tuple[int, ...], Fed] = {}
    rows: Any = prepared.select_columns(columns).select(whole)
    for row in rows:
        ids = tuple(row["input_ids"])
        if ids in batches and ids not in found:
            found[ids] = Fed(row["id"], row["language"], row["response"], row["prompt"], ids, batches[ids])
            if len(found) == len(batches):
                break
    return list(found.values())


def _batches(trainer: SFTTrainer) -> Iterator[tuple[list[int], list[int]]]:
    """The rows in what the trainer's collator hands to the model, taken out of their pack where they are packed."""
    rows: Any = trainer.train_dataset
    collate: Any = trainer.data_collator
    for index in range(min(LOOKED_AT, len(rows))):
        batch = collate([rows[index]])
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        ends = batch["cu_seq_lens_q"].tolist() if "cu_seq_lens_q" in batch else [0, len(ids)]
        for start, end in pairwise(ends):
            yield ids[start:end], labels[start:end]


def check(fed: Sequence[Fed], tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]) -> dict[str, str]:
    """What was looked at and seen, or a refusal."""
    if not fed:
        raise Refused("not one row reaches the model whole: raise train.sft.max_length")
    ends = Counter[str]()
    for row in fed:
        if wrong := fault(row, tokenizer, stops):
            raise Refused(f"row {row.id}: {wrong}; give train.template, or check the row")
        ends[str(tokenizer.decode([label for label in row.labels if label != MASKED][-1:]))] += 1
    return {
        "read back": f"{len(fed)} rows, from the batches that the model gets",
        "prompt": "its tokens are the first tokens of every row, and none of them is trained",
        "think": "all of the reasoning and of the answer is trained",
        "end of turn": f"trained: {', '.join(ends)}",
        "template": "the prompt is rendered as the student's own template renders it; the template is saved with the "
        "model, so that evaluation and serving use it, too",
    }


def fault(row: Fed, tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]) -> str | None:
    """What the labels would teach wrongly; None where they are in order."""
    trained = [label for label in row.labels if label != MASKED]
    if any(label != MASKED for label in row.labels[: row.prompt]):
        return "tokens of the prompt are trained"
    if part := missing(row.response, str(tokenizer.decode(trained))):
        return f"the {part} is missing from what is trained"
    if not trained or trained[-1] not in stops:
        return "the end of the turn is not trained, so the model would never stop"
    return None


def refuse_cut(measure: Measure, max_length: int | None, allowed: float) -> None:
    """Refuse if more than the allowed share of rows would lose their end, and with it the answer."""
    tokens = measure.languages.values()
    cut, rows = sum(t.cut for t in tokens), sum(t.rows for t in tokens)
    if cut > allowed * rows:
        raise Refused(
            f"{cut} of {rows} rows are longer than max_length {max_length} (the longest: {measure.longest} tokens) and "
            f"would lose their end; train.cut allows {allowed:.0%}: raise train.sft.max_length or train.cut"
        )


def excerpts(fed: Sequence[Fed], tokenizer: PreTrainedTokenizerBase) -> tuple[Excerpt, ...]:
    """The text of a few rows, of as many languages as there are, in stretches that are trained and that are not."""
    return tuple(Excerpt(language=row.language, parts=_parts(row, tokenizer)) for row in _picked(fed))


def _picked(fed: Sequence[Fed]) -> list[Fed]:
    first = {row.language: row for row in reversed(fed)}.values()
    rest = [row for row in fed if row not in first]
    return [*first, *rest][:SHOWN]


def _parts(row: Fed, tokenizer: PreTrainedTokenizerBase) -> tuple[Part, ...]:
    return tuple(
        Part(trained=trained, text=str(tokenizer.decode(run)))
        for trained, run in _runs(zip(row.ids, row.labels, strict=True))
    )


def _runs(tokens: Iterable[tuple[int, int]]) -> list[tuple[bool, list[int]]]:
    runs: list[tuple[bool, list[int]]] = []
    for token, label in tokens:
        trained = label != MASKED
        if not runs or runs[-1][0] != trained:
            runs.append((trained, []))
        runs[-1][1].append(token)
    return runs
