"""The process in which math-verify compares expressions: pairs in, verdicts out, one JSON value per line.

Run by expressions.py with the limit in seconds; it imports nothing of ours. It reads the library once and then forks.
The child compares and keeps the time itself, in a thread of C that needs no interpreter lock: when time is up, or an
expression takes the child down in any other way, the parent says so and forks the next one, which takes milliseconds.
"""

import faulthandler
import json
import logging
import os
import resource
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import math_verify  # pyright: ignore[reportMissingTypeStubs]

MEMORY_BYTES = 4 << 30  # address space
FINE, COARSE = 12, 6  # decimals to which an inexact number must agree: to be equal, and to be no different number
KEPT = 64  # expressions; all samples of a prompt have the same gold answer

_library: Any = math_verify
_config = [_library.LatexExtractionConfig()]


@lru_cache(KEPT)
def _read(text: str) -> Any:
    return _library.parse(f"${text}$", _config, fallback_mode="no_fallback", parsing_timeout=None)


def _equal(gold: Any, answer: Any, decimals: int) -> bool:
    return _library.verify(
        gold, answer, float_rounding=decimals, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True
    )


def _verdict(gold_text: str, answer_text: str) -> tuple[str, str]:
    try:
        gold, answer = _read(gold_text), _read(answer_text)
        if not gold or not answer:
            return "undecidable", f"math-verify cannot read the {'answer' if gold else 'gold answer'}"
        if _equal(gold, answer, FINE):
            return "right", "equal by math-verify"
        if _equal(gold, answer, COARSE):
            return "undecidable", f"equal to {COARSE} decimals only"
    except Exception as error:  # noqa: BLE001 - whatever goes wrong inside the library, the pair is not decided
        return "undecidable", f"math-verify failed: {type(error).__name__}"
    return "wrong", "not equal by math-verify"


def _compare_lines(limit_s: float) -> None:
    """The child: answers pair after pair until there are no more."""
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the process
    while line := sys.stdin.readline():
        faulthandler.dump_traceback_later(limit_s, exit=True, file=nowhere)
        verdict = _verdict(*json.loads(line))
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(verdict), flush=True)


def main() -> None:
    limit_s = float(sys.argv[1])
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _verdict(r"\frac{1}{2}", "x+1")  # builds the grammar's tables
    while True:
        child = os.fork()
        if not child:
            _compare_lines(limit_s)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        # faulthandler leaves with 1, and nothing else does: what the library raises is caught
        reason = f"not compared within {limit_s:g} s" if status == 1 else f"math-verify crashed ({status})"
        print(json.dumps(("undecidable", reason)), flush=True)


if __name__ == "__main__":
    main()
