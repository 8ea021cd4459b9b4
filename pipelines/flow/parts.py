"""From the journal's segments to the parquet files of a commit, a few megabytes at a time."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from pipelines import ids
from pipelines.errors import StageError
from pipelines.flow.items import R
from pipelines.flow.journal import told
from pipelines.flow.segments import INDEX
from pipelines.hub import part_path
from pipelines.ids import IdSet, Keys
from pipelines.parquet import arrow_schema, read_rows
from pipelines.records import Row

BLOCK = 1 << 20
"""Bytes of JSON that are read at a time, unless one line is longer."""
AT_ONCE = 8 << 20
"""Bytes of rows that are turned into row groups at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A parquet file that waits for its commit: its path in the repo, the file here, and the ids of its rows."""

    path: str
    file: Path
    keys: Keys


def write(
    segments: Iterable[Path], record: type[Row], longest: int, folder: Path, without: IdSet | None = None
) -> list[Part]:
    """The rows of `segments` (lines of at most `longest` bytes) as a part for each place, written into `folder`; rows
    that are in `without` are left out."""
    folder.mkdir(exist_ok=True)
    schema, writers = arrow_schema(record), dict[tuple[str, str], _Writer]()
    with told(folder), ExitStack() as stack:
        for table in _tables(segments, record, longest):
            for place, rows in _by_place(table, schema):
                if place not in writers:
                    writers[place] = stack.enter_context(_Writer(folder / ".".join(place), schema))
                writers[place].write(rows, without)
    made = [writer.part(*place) for place, writer in writers.items()]
    return [part for part in made if part]


def rows(parts: Iterable[Part], record: type[R]) -> Iterator[R]:
    for part in parts:
        yield from read_rows(part.file, record)


@dataclass
class _Writer:
    file: Path
    schema: pa.Schema
    _keys: list[Keys] = field(default_factory=list[Keys])

    def __enter__(self) -> "_Writer":
        self._parquet = pq.ParquetWriter(self.file, self.schema, compression="zstd")
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()

    def write(self, table: pa.Table, without: IdSet | None) -> None:
        names = ids.keys(table["id"].to_pylist())
        if without:
            new = ~without.holds(names)
            table, names = table.filter(pa.array(new)), names[new]
        self._keys.append(names)
        self._parquet.write_table(table)

    def part(self, folder: str, language: str) -> Part | None:
        names = np.concatenate(self._keys)
        if not names.size:
            return None
        path = part_path(folder, language, names)
        return Part(path, self.file.rename(self.file.parent / path.replace("/", ".")), names)


def _tables(segments: Iterable[Path], record: type[Row], longest: int) -> Iterator[pa.Table]:
    """Columns `folder`, `language` and `row`, about AT_ONCE bytes at a time."""
    row = pa.field("row", pa.struct(list(arrow_schema(record))))
    schema = pa.schema([pa.field("folder", pa.string()), pa.field("language", pa.string()), row])
    read = pyarrow.json.ReadOptions(use_threads=False, block_size=max(BLOCK, 2 * longest))
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    gathered = list[pa.RecordBatch]()
    for segment in segments:
        with _undamaged(segment), pyarrow.json.open_json(segment, read, parse) as batches:
            for batch in batches:
                gathered.append(batch)
                if sum(one.nbytes for one in gathered) >= AT_ONCE:
                    yield pa.Table.from_batches(gathered)
                    gathered.clear()
    if gathered:
        yield pa.Table.from_batches(gathered)


@contextmanager
def _undamaged(segment: Path) -> Iterator[None]:
    """Without its index it is read line by line next time."""
    try:
        yield
    except pa.ArrowInvalid as error:
        segment.with_suffix(INDEX).unlink(missing_ok=True)
        why = str(error).splitlines()[0]
        raise StageError(f"{segment} is damaged ({why}): run it again; what can be read of it is kept") from None


def _by_place(table: pa.Table, schema: pa.Schema) -> Iterator[tuple[tuple[str, str], pa.Table]]:
    for place in table.select(["folder", "language"]).group_by(["folder", "language"]).aggregate([]).to_pylist():
        there = (pc.field("folder") == place["folder"]) & (pc.field("language") == place["language"])
        rows = table.filter(there)["row"].combine_chunks()
        batch = pa.RecordBatch.from_struct_array(rows)
        yield (place["folder"], place["language"]), pa.Table.from_batches([batch]).cast(schema)
