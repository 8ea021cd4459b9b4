"""Whether two expressions are equal, by math-verify, in processes of their own that have LIMIT_S seconds for a pair."""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import IO, Literal, cast

LIMIT_S = 0.8  # seconds of the processor for one pair of expressions
WORKERS = min(4, os.cpu_count() or 1)

Kind = Literal["right", "wrong", "undecidable"]


def compare(gold: str, answer: str) -> tuple[Kind, str]:
    """The verdict and its reason; "undecidable" where its time was up or an expression cannot be read.

    Any number of threads may call it: up to `WORKERS` pairs are compared at the same time.
    """
    if gold == answer:
        return "right", "same expression"
    pool = _pool()
    worker = pool.get()
    try:
        return worker.compare(gold, answer)
    finally:
        pool.put(worker)


class _Worker:
    """A process that compares one pair after the other, each within `LIMIT_S` seconds, whatever the pair does to it.

    It starts with the first pair, which therefore takes a second longer.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def compare(self, gold: str, answer: str) -> tuple[Kind, str]:
        process = self._process or self._start()
        questions, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        try:
            questions.write(json.dumps([gold, answer]) + "\n")
            questions.flush()
            reply = answers.readline()
        except OSError:
            reply = ""
        if not reply:  # the whole process is gone, not only the part that compares
            self.close()
            return "undecidable", "the process that compares expressions was killed"
        kind, reason = json.loads(reply)
        return kind, reason

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        script = str(Path(__file__).with_name("worker.py"))
        self._process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-P", script, str(LIMIT_S)],  # -P: the modules of this folder are not to shadow others
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        atexit.register(self.close)
        return self._process


_starting = threading.Lock()


def _pool() -> "queue.LifoQueue[_Worker]":
    with _starting:
        return _workers()


@cache
def _workers() -> "queue.LifoQueue[_Worker]":
    """The workers that are idle, the one that was busy last in front, so that a single thread starts only one."""
    pool = queue.LifoQueue[_Worker]()
    for _ in range(WORKERS):
        pool.put(_Worker())
    return pool
