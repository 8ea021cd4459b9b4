"""Trying again: what is worth it, how often, after how long, and the whole story where nothing helped."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pipelines.errors import SampleError
from pipelines.llm.wire import Fault

ATTEMPTS = 5
LETHAL = 2.5
"""Attempts that the death of the server counts for, all requests together that it was working on."""
LONGEST_WAIT = 60.0
PATIENCE = 1_800.0
"""Seconds that one sample may be refused for want of room (429) before it is given up. Refusals count as no attempt."""
EARNED = 0.2
STORY = 2_000

T = TypeVar("T")
Mend = Callable[[float], Awaitable[bool]]
"""Makes sure that the server runs, lets requests in again, and says whether it was away since `sent` (monotonic)."""


class Budget:
    """How many retries a door has left: as many as may be in flight, and then one for every five answers.

    A retry after a time-out or an unreadable answer is paid for twice: where much fails, each sample is tried once.
    A lost connection takes nothing, since all that are in flight lose it together and the server did not answer.
    """

    def __init__(self, start: int) -> None:
        self._left = self._most = float(max(start, 50))

    def earn(self) -> None:
        self._left = min(self._most, self._left + EARNED)

    def take(self, fault: Fault) -> bool:
        if fault.reason != "connection":
            self._left -= 1
        return self._left >= 0


async def retried(attempt: Callable[[], Awaitable[T]], budget: Budget, mend: Mend | None) -> T:
    """Try until it works; SampleError with the story of all attempts where it does not."""
    story, failed, began = list[str](), 0.0, time.monotonic()
    while True:
        try:
            result = await attempt()
        except Fault as fault:
            elapsed = time.monotonic() - began
            story.append(f"after {elapsed:.1f} s {fault}")
            died = mend is not None and fault.broken and await mend(fault.sent)
            failed += LETHAL * fault.share if died else not fault.refused
            end = _end(fault, failed, elapsed, budget)
            if end is not None:
                raise SampleError(fault.reason, _told(story, str(fault)) + end, len(story)) from None
            await asyncio.sleep(_pause(fault, failed))
        else:
            budget.earn()
            return result


def _end(fault: Fault, failed: float, elapsed: float, budget: Budget) -> str | None:
    """How the story ends; None where it goes on."""
    if fault.refused:
        return "; given up" if max(elapsed, fault.wait or 0.0) > PATIENCE else None
    if fault.final:
        return ""
    if failed >= ATTEMPTS:
        return "; given up"
    return None if budget.take(fault) else "; not tried again, since too many requests fail here"


def _pause(fault: Fault, failed: float) -> float:
    """Seconds until the next attempt. After a refusal the whole door waits as well (`pace`)."""
    backoff = random.uniform(0.5, 1.0) * 2**failed  # noqa: S311 - jitter
    return min(LONGEST_WAIT, backoff if fault.refused or fault.wait is None else fault.wait)


def _told(story: list[str], last: str) -> str:
    return last if len(story) == 1 else "; ".join(story)[:STORY]
