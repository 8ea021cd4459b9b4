"""What a repo holds at one commit, and where its rows lie."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.facts import Facts, Input
from pipelines.ids import Keys, keys
from pipelines.parquet import to_bytes
from pipelines.records import Row, digest

Kind = Literal["dataset", "model"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repo at one commit: its files by path, and the facts of the run that wrote it (None where there are none)."""

    repo: str
    kind: Kind
    revision: str
    files: tuple[str, ...]
    facts: Facts | None

    @property
    def input(self) -> Input:
        """What the facts of a stage that read this name as its input."""
        return Input(repo=self.repo, kind=self.kind, revision=self.revision)

    def parts(self, folder: str, languages: Iterable[str] | None = None) -> list[str]:
        """The parquet files of `data`, `rejected` or `failures`, of all languages or of those named."""
        wanted = None if languages is None else set(languages)
        return [
            file
            for file in self.files
            if file.startswith(f"{folder}/")
            and file.endswith(".parquet")
            and (wanted is None or file.split("/")[1] in wanted)
        ]


def part(folder: str, record: type[Row], rows: Sequence[Row], language: str) -> tuple[str, bytes]:
    """The path and the bytes of a parquet file; named after its ids: no two writers share a name, and the same rows
    are the same file."""
    return part_path(folder, language, keys([row.id for row in rows])), to_bytes(record, rows)


def part_path(folder: str, language: str, names: Keys) -> str:
    return f"{folder}/{language}/{digest(hashlib.sha256(names.tobytes()).hexdigest())}.parquet"
