"""The first rows of parquet files, read in a process of its own: `python rows.py FILE...`, one line of JSON for each.

A hostile file can claim any size, unpack to any size, or bring the reader down. Here it brings down no server: memory
and time are limited before the first byte is read, and whoever started this process takes its death for an answer.
"""

import json
import resource
import sys
from itertools import islice
from typing import Any

MEMORY = 1 << 30
SECONDS = 5
ROWS = 20
COLUMNS = 50
CELL = 300
# A row group is read as a whole column chunk at a time: beyond this the look would cost too much memory.
MAX_ROW_GROUP = 256 << 20


def read(file: str) -> dict[str, Any]:
    """`total` rows, `columns` and `rows` of text; or the `problem`."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file, pre_buffer=False) as parquet:
            total, names = parquet.metadata.num_rows, parquet.schema_arrow.names[:COLUMNS]
            if total and parquet.metadata.row_group(0).total_byte_size > MAX_ROW_GROUP:
                return {"total": total, "problem": "its row groups are too large for a preview"}
            batch = next(parquet.iter_batches(batch_size=ROWS, use_threads=False), None)
            columns = [column.to_pylist() for column in islice(batch.columns, COLUMNS)] if batch else []
    except (pyarrow.ArrowException, MemoryError, OSError, ValueError) as error:
        return {"total": 0, "problem": f"it cannot be read: {error}"[:CELL]}
    rows = [[_cell(value) for value in row] for row in zip(*columns, strict=True)]
    return {"total": total, "columns": [name[:CELL] for name in names], "rows": rows}


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= CELL else f"{text[:CELL]} …"


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (amount if hard == resource.RLIM_INFINITY else min(amount, hard), hard))


if __name__ == "__main__":
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    for number, name in enumerate(sys.argv[1:], 1):
        _limit(resource.RLIMIT_CPU, number * SECONDS)
        print(json.dumps(read(name)), flush=True)
