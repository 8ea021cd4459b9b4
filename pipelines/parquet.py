"""Rows to and from Arrow tables and parquet files, by the types that `records` writes down once."""

import io
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.records import Record

R = TypeVar("R", bound=Record)


def to_bytes(record: type[Record], rows: Iterable[Record]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(to_table(record, rows), buffer, compression="zstd")
    return buffer.getvalue()


def arrow_schema(record: type[Record]) -> pa.Schema:
    return pa.schema([_field(name, info.annotation) for name, info in record.model_fields.items()])


def to_table(record: type[Record], rows: Iterable[Record]) -> pa.Table:
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=arrow_schema(record))


def read_rows(path: str | Path, record: type[R]) -> Iterator[R]:
    """The rows of a file, a row group at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from from_table(record, file.read_row_group(group))


def from_table(record: type[R], table: pa.Table) -> Iterator[R]:
    """Validated rows; pydantic's ValidationError names the column and the value that do not fit."""
    for batch in table.to_batches(max_chunksize=1_000):
        for row in batch.to_pylist():
            yield record.model_validate(row, strict=False)


_SCALARS: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _field(name: str, annotation: Any) -> pa.Field:
    if get_origin(annotation) in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(annotation) if arg is not type(None))
        return pa.field(name, _type(inner), nullable=True)
    return pa.field(name, _type(annotation), nullable=False)


def _type(annotation: Any) -> pa.DataType:
    if get_origin(annotation) is Literal:
        return pa.string()
    if get_origin(annotation) is tuple:
        return pa.list_(pa.field("item", _type(get_args(annotation)[0]), nullable=False))
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return pa.struct(list(arrow_schema(annotation)))
    return _SCALARS[annotation]
