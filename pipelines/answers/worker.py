"""The process in which math-verify compares expressions: pairs in, verdicts out, one JSON value per line.

Run by expressions.py with the limit in seconds; it imports nothing of ours. It reads the library once and then forks.
The child compares, and the kernel ends it when a pair has used up its time on the processor, whatever it is doing: a
machine with much else to do changes no verdict. The parent then says so and forks the next child, in milliseconds.
"""

import json
import logging
import os
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

import math_verify  # pyright: ignore[reportMissingTypeStubs]

MEMORY_BYTES = 4 << 30  # address space
FINE, COARSE = 12, 6  # decimals to which an inexact number must agree: to be equal, and to be no different number
WARM_UP = ((r"\frac{1}{2}", "x+1"), (r"\tan x", r"\cot x"), ("(1,2)", "x>1"))  # fills tables that every child inherits
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
    while line := sys.stdin.readline():
        signal.setitimer(signal.ITIMER_PROF, limit_s)  # nobody handles its signal, so it ends the process
        verdict = _verdict(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(verdict), flush=True)


def main() -> None:
    limit_s = float(sys.argv[1])
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for gold, answer in WARM_UP:
        _verdict(gold, answer)
    while True:
        child = os.fork()
        if not child:
            _compare_lines(limit_s)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        late = status == -signal.SIGPROF
        reason = f"not compared within {limit_s:g} s" if late else f"math-verify crashed ({status})"
        print(json.dumps(("undecidable", reason)), flush=True)


if __name__ == "__main__":
    main()
