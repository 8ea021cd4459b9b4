"""The chosen conversations once more, in the columns that other programs expect.

lightblue   those of lightblue/reasoning-multilingual-R1-Llama-70B-train, the data set that this method goes back
            to, with their types: code that was written for it works with ours
sharegpt    `conversations` with `from` and `value`, as LLaMA-Factory and Axolotl read it
"""

from array import array
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import chains
from pipelines.hub import part_path
from pipelines.ids import key
from pipelines.records import Judged

FLUENCY = "fluency"
"""The judge whose score is `think_fluency`."""
AT_ONCE = 500
"""Rows that wait, of all languages together, before those of one become a row group."""

_TEXT = pa.string()
_TURNS = pa.list_(pa.struct([("from", _TEXT), ("value", _TEXT)]))
_LIGHTBLUE = pa.schema(
    [
        ("en_prompt", _TEXT),
        ("dataset_name", _TEXT),
        ("language", _TEXT),
        ("translated_prompt_raw", _TEXT),
        ("num_tokens", pa.int64()),
        ("translated_prompt", _TEXT),
        ("is_valid_prompt", pa.bool_()),
        ("row_id", pa.int64()),
        ("res_finish_reason", _TEXT),
        ("response", _TEXT),
        ("is_valid_think", pa.bool_()),
        ("is_valid_res", pa.bool_()),
        ("think_lang", _TEXT),
        ("res_lang", _TEXT),
        ("think_fluency", pa.float64()),
        ("prompt_think_lang_correct", pa.bool_()),
        ("answer_correctness", pa.float64()),
        ("conversations", _TURNS),
    ]
)
_SHAREGPT = pa.schema([("id", _TEXT), ("conversations", _TURNS)])


def lightblue(row: Judged) -> dict[str, Any]:
    """Unknown is the English prompt where the source is in another language, a score that no judge gave, and whether
    an answer is correct that could not be verified. Languages are codes; `num_tokens` and `row_id` are the prompt's."""
    prompt = row.prompt
    return {
        "en_prompt": (prompt.source_text or prompt.text) if prompt.source_language == "en" else None,
        "dataset_name": prompt.dataset,
        "language": prompt.language,
        "translated_prompt_raw": prompt.text,
        "num_tokens": row.prompt_tokens,
        "translated_prompt": prompt.text,
        "is_valid_prompt": not prompt.defects,
        "row_id": key(prompt.id) >> 1,
        "res_finish_reason": row.finish_reason,
        "response": _response(row),
        "is_valid_think": not row.defects,
        "is_valid_res": bool(row.answer),
        "think_lang": row.think_language,
        "res_lang": row.answer_language,
        "think_fluency": row.score(FLUENCY),
        "prompt_think_lang_correct": row.think_language == prompt.language,
        "answer_correctness": {"right": 1.0, "wrong": 0.0}.get(row.outcome or ""),
        "conversations": _turns(row),
    }


def sharegpt(row: Judged) -> dict[str, Any]:
    return {"id": row.id, "conversations": _turns(row)}


def _turns(row: Judged) -> list[dict[str, str]]:
    return [{"from": "human", "value": row.prompt.text}, {"from": "gpt", "value": _response(row)}]


def _response(row: Judged) -> str:
    return chains.join(row.reasoning or "", row.answer)


class _Format(NamedTuple):
    schema: pa.Schema
    row: Callable[[Judged], Mapping[str, Any]]


FORMATS = {"lightblue": _Format(_LIGHTBLUE, lightblue), "sharegpt": _Format(_SHAREGPT, sharegpt)}


@dataclass
class Formats:
    """Writes rows into `folder`, a parquet file for each format and language."""

    folder: Path
    _names: dict[str, "array[int]"] = field(default_factory=dict)
    _waiting: dict[str, list[Judged]] = field(default_factory=dict)
    _count: int = 0
    _writers: dict[tuple[str, str], pq.ParquetWriter] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, row: Judged) -> None:
        language = row.prompt.language
        self._count += 1
        self._names.setdefault(language, array("Q")).append(key(row.id))
        self._waiting.setdefault(language, []).append(row)
        if self._count == AT_ONCE:
            self._write(max(self._waiting, key=lambda one: len(self._waiting[one])))

    def finish(self) -> dict[str, Path]:
        """The files by their paths in the repo."""
        for language in [language for language, rows in self._waiting.items() if rows]:
            self._write(language)
        self._open.close()
        return {
            part_path(name, language, np.array(self._names[language], np.uint64)): self._file(name, language)
            for name, language in self._writers
        }

    def _write(self, language: str) -> None:
        rows, self._waiting[language] = self._waiting[language], []
        self._count -= len(rows)
        for name, form in FORMATS.items():
            place = name, language
            if place not in self._writers:
                writer = pq.ParquetWriter(self._file(*place), form.schema, compression="zstd")
                self._writers[place] = self._open.enter_context(writer)
            self._writers[place].write_table(pa.Table.from_pylist([dict(form.row(row)) for row in rows], form.schema))

    def _file(self, name: str, language: str) -> Path:
        return self.folder / f"{name}.{language}"
