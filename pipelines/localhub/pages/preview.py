"""The first rows of a data set: one table per config of its card, from that config's first parquet file."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from json import dumps
from pathlib import Path
from typing import Any

from pipelines.localhub.store.largefiles import LargeFiles

ROWS = 20
CONFIGS = 12
CELL = 300
# A row group is read as a whole column chunk at a time: beyond this the look would cost too much memory.
MAX_ROW_GROUP = 256 << 20


@dataclass(frozen=True)
class Table:
    config: str
    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    problem: str | None = None


def tables(card: Mapping[str, Any], files: Mapping[str, str | None], large: LargeFiles) -> list[Table]:
    """`files` maps each path to its sha256, None for those small enough to be no large file."""
    found: list[Table] = []
    for config, patterns in _configs(card)[:CONFIGS]:
        for path, sha256 in files.items():
            if sha256 and path.endswith(".parquet") and any(fnmatchcase(path, pattern) for pattern in patterns):
                found.append(_table(config, path, large.path(sha256)))
                break
    return found


def _configs(card: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Name and path patterns of each config; a card without any means everything is one."""
    listed = card.get("configs")
    if not isinstance(listed, list):
        return [("default", ["*"])]
    configs: list[tuple[str, list[str]]] = []
    for config in listed:
        if isinstance(config, dict):
            configs.append((str(config.get("config_name", "default")), _patterns(config.get("data_files"))))
    return configs


def _patterns(data_files: object) -> list[str]:
    """`data_files` is a pattern, a list of them, or a list of {split, path}, where path is again one or many."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        return _patterns(data_files.get("path"))
    if isinstance(data_files, list):
        return [pattern for item in data_files for pattern in _patterns(item)]
    return []


@lru_cache(maxsize=64)
def _table(config: str, path: str, file: Path) -> Table:
    """The file's name is its hash, so what was read once stays right."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file, pre_buffer=False) as parquet:
            total = parquet.metadata.num_rows
            columns = tuple(parquet.schema_arrow.names)
            if total and parquet.metadata.row_group(0).total_byte_size > MAX_ROW_GROUP:
                return Table(config, path, columns, (), total, "its row groups are too large for a preview")
            batch = next(parquet.iter_batches(batch_size=ROWS, use_threads=False), None)
            records = batch.to_pylist() if batch else []
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        return Table(config, path, (), (), 0, f"it cannot be read: {error}"[:300])
    rows = tuple(tuple(_cell(record[name]) for name in columns) for record in records)
    return Table(config, path, columns, rows, total)


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= CELL else f"{text[:CELL]} …"
