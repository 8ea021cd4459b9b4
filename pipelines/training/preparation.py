"""Rows -> tokens and labels, in one pass: each conversation is rendered once and tokenized once, a batch at a time.

The loss is on the last response alone, from behind the generation prompt to the end of the turn: what the model will
have to write, token for token. The labels are made here rather than by TRL's `assistant_only_loss`, because TRL's
training templates also train tokens of the generation prompt (the line break after `assistant` of Qwen's, the
`<think>` of DeepSeek's), and because the length of a row has to be known before the trainer cuts it.

Where the response begins is read off the tokens of the whole, and proven: the text up to an added token, such as
`<|im_start|>`, is tokenized independently of what follows it, so that only the few tokens behind the last of them
have to be compared with those of the prompt by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from pipelines.training.chat_template import Refused, Template, render
from pipelines.training.job import Measure, Row, Tokens

BATCH = 500
"""Rows rendered and tokenized at a time: what bounds the memory."""
MASKED = -100
"""The label of a token that is read and not trained (what torch's cross entropy ignores)."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("language", pa.string()),
        ("response", pa.string()),
        ("prompt", pa.int32()),
        ("length", pa.int32()),
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True, slots=True)
class Example:
    row: Row
    prompt: int
    """Tokens of the prompt, generation prompt included."""
    ids: list[int]
    end: int
    """Where the labels end: behind the token that ends the turn."""

    @property
    def labels(self) -> list[int]:
        rest = len(self.ids) - self.end
        return [MASKED] * self.prompt + self.ids[self.prompt : self.end] + [MASKED] * rest


class Preparation:
    """How rows become examples: one tokenizer, one template, and the tokens that end a turn."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: Template, stops: frozenset[int]) -> None:
        if not tokenizer.is_fast:
            raise Refused(f"the student's tokenizer ({type(tokenizer).__name__}) has no file tokenizer.json: add one")
        self.tokenizer, self.template, self.stops = tokenizer, template, stops
        core: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue] - fast tokenizers have it
        self.core: Tokenizer = core
        self.core.no_truncation()
        self.core.no_padding()
        self.added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
        self._tails: dict[tuple[int, str], list[int]] = {}

    def batches(self, rows: Iterable[Row]) -> Iterator[list[Example]]:
        """The examples, a batch at a time. While one is tokenized, which takes no Python, the one before is finished
        and the one behind is rendered."""
        with ThreadPoolExecutor(1) as tokenizing:
            before: Callable[[], list[Example]] | None = None
            for batch in _batches(rows):
                rendered = render(self.tokenizer, self.template, [row.messages for row in batch])
                encodings = tokenizing.submit(self._encode, [whole for _, whole in rendered])
                if before:
                    yield before()
                before = partial(self._finish, batch, rendered, encodings)
            if before:
                yield before()

    def _encode(self, texts: list[str]) -> list[Encoding]:
        return self.core.encode_batch(texts, add_special_tokens=False)

    def _finish(
        self, rows: list[Row], rendered: list[tuple[str, str]], encodings: Future[list[Encoding]]
    ) -> list[Example]:
        triples = zip(rows, rendered, encodings.result(), strict=True)
        return [self._example(row, prompt, encoding) for row, (prompt, _), encoding in triples]

    def _example(self, row: Row, prompt: str, encoding: Encoding) -> Example:
        ids: list[int] = encoding.ids
        start = self._start(row, prompt, encoding, ids)
        end = next((i + 1 for i in range(len(ids) - 1, start - 1, -1) if ids[i] in self.stops), len(ids))
        return Example(row, start, ids, end)

    def _start(self, row: Row, prompt: str, encoding: Encoding, ids: list[int]) -> int:
        """The number of tokens of the prompt, which are the first tokens of the whole: else refused."""
        start = encoding.char_to_token(len(prompt))
        last = next((i for i in range((start or 0) - 1, -1, -1) if ids[i] in self.added), None)
        if start is not None and last is not None:
            span = encoding.token_to_chars(last)
            if span and ids[last:start] == self._tail(ids[last], prompt[span[1] :]):
                return start
        alone: list[int] = self.core.encode(prompt, add_special_tokens=False).ids
        if ids[: len(alone)] != alone:
            raise Refused(
                f"row {row.id}: the tokens of the prompt are not the first tokens of the prompt with its response, so "
                "the model would be trained on another prompt than it is asked: give train.template"
            )
        return len(alone)

    def _tail(self, added: int, text: str) -> list[int]:
        """The tokens of an added token and the text behind it."""
        if (added, text) not in self._tails:
            self._tails[added, text] = self.core.encode(self.added[added] + text, add_special_tokens=False).ids
        return self._tails[added, text]


def prepare(rows: Path, target: Path, preparation: Preparation, max_length: int | None) -> Measure:
    """Write the examples of all rows to an Arrow file, cut to `max_length`, and measure them as they were before."""
    found = _Measuring()
    with rows.open("rb") as lines, pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
        for examples in preparation.batches(Row.model_validate_json(line, strict=False) for line in lines):
            stream.write_batch(table(examples, max_length))
            found.add(examples, max_length)
    return found.measure()


def table(examples: Sequence[Example], max_length: int | None) -> pa.RecordBatch:
    lengths = np.fromiter((len(e.ids) for e in examples), np.int32, len(examples))
    kept = lengths if max_length is None else np.minimum(lengths, max_length)
    ids = [e.ids if length == len(e.ids) else e.ids[:length] for e, length in zip(examples, kept, strict=True)]
    values = np.concatenate([np.array(row, np.int32) for row in ids])
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
    labels = values.copy()
    for example, begin, end in zip(examples, offsets, offsets[1:], strict=False):
        labels[begin : min(begin + example.prompt, end)] = MASKED
        labels[min(begin + example.end, end) : end] = MASKED
    columns = [
        pa.array([e.row.id for e in examples]),
        pa.array([e.row.language for e in examples]),
        pa.array([e.row.messages[-1]["content"] for e in examples]),
        pa.array([e.prompt for e in examples], pa.int32()),
        pa.array(lengths),
        pa.ListArray.from_arrays(offsets, values),
        pa.ListArray.from_arrays(offsets, labels),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


class _Measuring:
    def __init__(self) -> None:
        self.languages: dict[str, Tokens] = {}
        self.lengths: dict[int, int] = {}
        self.longest = 0

    def add(self, examples: Iterable[Example], max_length: int | None) -> None:
        for example in examples:
            length = len(example.ids)
            before = self.languages.get(example.row.language, Tokens())
            self.languages[example.row.language] = Tokens(
                rows=before.rows + 1,
                tokens=before.tokens + length,
                trained=before.trained + example.end - example.prompt,
                cut=before.cut + (max_length is not None and length > max_length),
            )
            bound = 1 << max(length - 1, 0).bit_length()
            self.lengths[bound] = self.lengths.get(bound, 0) + 1
            self.longest = max(self.longest, length)

    def measure(self) -> Measure:
        return Measure(
            languages=dict(sorted(self.languages.items())),
            lengths=tuple(sorted(self.lengths.items())),
            longest=self.longest,
        )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch
