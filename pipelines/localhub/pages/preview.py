"""The first rows of a data set: one table per config of its card, from that config's first parquet file."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from json import loads
from pathlib import Path
from typing import Any

from pipelines.localhub.store.largefiles import LargeFiles

CONFIGS = 12
PATTERNS = 100
SECONDS = 15.0
"""For all the files of a page, and for waiting while another page's are read."""
_READING = threading.Lock()
# The limit on memory counts address space, of which pools and threads reserve more than they use.
_FRUGAL = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Table:
    config: str
    path: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: int
    problem: str | None = None


def tables(card: Mapping[str, Any], files: Mapping[str, str | None], large: LargeFiles) -> list[Table]:
    """`files` maps each path to its sha256, None for those small enough to be no large file."""
    parquet = {path: large.path(sha256) for path, sha256 in files.items() if sha256 and path.endswith(".parquet")}
    shown: list[tuple[str, str]] = []
    for config, patterns in _configs(card)[:CONFIGS]:
        matching = (path for path in parquet if any(fnmatchcase(path, pattern) for pattern in patterns[:PATTERNS]))
        shown += [(config, path) for path in islice(matching, 1)]
    try:
        answers = _read(tuple(parquet[path] for _, path in shown))
    except TimeoutError as error:
        answers = [{"total": 0, "problem": str(error)}] * len(shown)
    return [
        Table(config, path, answer.get("columns", []), answer.get("rows", []), answer["total"], answer.get("problem"))
        for (config, path), answer in zip(shown, answers, strict=True)
    ]


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


@lru_cache(maxsize=16)
def _read(files: tuple[Path, ...]) -> list[dict[str, Any]]:
    """What rows.py says of each. The files' names are their hashes, so what was read once stays right.

    Raises TimeoutError while other pages' files are being read: they must not fill all threads.
    """
    if not _READING.acquire(timeout=SECONDS):
        raise TimeoutError("other files are being read: load the page again")
    try:
        answers: list[dict[str, Any]] = []
        end = time.monotonic() + SECONDS
        while len(answers) < len(files):
            answers += _answers(files[len(answers) :], end - time.monotonic())
            if len(answers) < len(files):
                answers.append({"total": 0, "problem": "reading it takes too much memory or time"})
        return answers
    finally:
        _READING.release()


def _answers(files: Sequence[Path], seconds: float) -> list[dict[str, Any]]:
    """As many as came before the reader ended, by itself or by its limits."""
    try:
        done = subprocess.run(  # noqa: S603 - our own file, and names made of hashes
            [sys.executable, "-I", str(Path(__file__).with_name("rows.py")), *map(str, files)],
            env=_FRUGAL,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=max(seconds, 0),
            check=False,
        )
        written = done.stdout
    except subprocess.TimeoutExpired as late:
        written = late.stdout or b""
    return [loads(line) for line in written.splitlines(keepends=True) if line.endswith(b"\n")]
