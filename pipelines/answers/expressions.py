"""Whether two expressions are equal, by math-verify, in a process of its own that has LIMIT_S seconds for a pair.

This file is also what that process runs, so it imports nothing of ours.
"""

import atexit
import json
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, cast

LIMIT_S = 1.0  # wall-clock seconds for one pair of expressions
MEMORY_BYTES = 4 << 30  # address space of the worker process

Kind = Literal["right", "wrong", "undecidable"]


def compare(gold: str, answer: str) -> tuple[Kind, str]:
    """The verdict and its reason; "undecidable" where the time was up or an expression cannot be read."""
    return _worker().compare(gold, answer)


class _Worker:
    """math-verify in a process of its own: one pair at a time, each within `LIMIT_S` seconds, whatever it does.

    The worker keeps the time itself, in a thread of C that needs no interpreter lock, and exits when it is over; here
    that shows as an answer that does not come, and the next worker is started at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()
        atexit.register(self.close)

    def compare(self, gold: str, answer: str) -> tuple[Kind, str]:
        with self._lock:
            try:
                self._questions.write(json.dumps([gold, answer]) + "\n")
                self._questions.flush()
                reply = self._answers.readline()
            except OSError:
                reply = ""
            if reply:
                kind, reason = json.loads(reply)
                return kind, reason
            self.close()
            self._start()
            return "undecidable", f"not compared within {LIMIT_S:g} s"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-P", __file__],  # -P: the modules of this folder are not to shadow others
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._questions, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)


@cache
def _worker() -> _Worker:
    return _Worker()


def _serve() -> None:
    """The worker: pairs of expressions in, verdicts out, one JSON value per line."""
    import faulthandler
    import logging
    import os
    import resource

    import math_verify  # pyright: ignore[reportMissingTypeStubs]

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the process
    library: Any = math_verify
    config = [library.LatexExtractionConfig()]

    def read(text: str) -> object:
        return library.parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None)

    library.verify(read(r"\frac{1}{2}"), read("x+1"), timeout_seconds=None)  # builds the grammar's tables
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=nowhere)
        gold, answer = map(read, json.loads(line))
        if not gold or not answer:
            verdict = ("undecidable", f"math-verify cannot read the {'answer' if gold else 'gold answer'}")
        else:
            right = library.verify(gold, answer, timeout_seconds=None)
            verdict = ("right", "equal by math-verify") if right else ("wrong", "not equal by math-verify")
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    _serve()
