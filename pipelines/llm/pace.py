"""How many requests may be under way at a time: as many as the recipe allows, fewer while the server bears no more.

The server says so in three ways. It refuses (429): one less for each refusal, and a pause as long as it asks for. It
lets requests wait longer than it works on them (the queue time that TGI tells): a small cut, since more in flight only
wait. It does not answer in time, or died: a cut. A cut looks at requests sent after the last one, so that one burst
counts once. From there it doubles per round up to half of where the server had too many, then grows by a tenth per
round (as TCP does it: slow start, then more careful).
"""

import asyncio
import random
import time
from collections import deque

QUEUED, LATE, DIED = 0.9, 0.7, 0.1
"""By what the limit is multiplied. A request that kills its server is soon alone, and found out."""
QUEUE = 1.0
"""Seconds in the server's queue that are of no account."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds of the pause after a refusal that names none; it doubles with each one that follows."""
STEP = 0.1
USED = 0.9
"""Share of the limit that has to be under way for an answer to say that the server bears more."""


class Pace:
    def __init__(self, most: int) -> None:
        self.most, self.limit, self.flying = most, float(most), 0
        self._waiting = deque[asyncio.Future[None]]()
        self._too_many = float(most)
        self._cut = self._until = 0.0
        """When the limit was last lowered, and until when nobody may enter (monotonic)."""
        self._refusals = 0
        self._held = False

    async def enter(self) -> float:
        """Wait for a turn; back comes the time of its beginning (monotonic). `leave` has to follow."""
        now = time.monotonic()
        if not self._waiting and self._open(now):
            self.flying += 1
            return now
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise
        return time.monotonic()

    def leave(self) -> None:
        self.flying -= 1
        self._admit()

    def answered(self, sent: float, queued: float) -> None:
        """A request of `sent` got its answer, after `queued` seconds in the server's own queue."""
        if sent >= self._cut:
            self._refusals = 0
        if queued > QUEUE and queued > (time.monotonic() - sent) / 2:
            self.cut(sent, QUEUED)
        elif self.limit < self.most and self.flying >= USED * int(self.limit):
            step = 1.0 if self.limit < self._too_many / 2 else max(STEP, 1 / self.limit)
            self.limit = min(float(self.most), self.limit + step)

    def refused(self, sent: float, wait: float | None) -> None:
        """The server had no room, and asks to wait so many seconds, or says nothing of the kind."""
        self._refusals += self.cut(sent, 1.0)
        self.limit = max(1.0, self.limit - 1)
        if wait is None:
            wait = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._refusals - 1)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        until = time.monotonic() + wait
        if until > self._until:
            self._until = until
            asyncio.get_running_loop().call_later(wait, self._admit)

    def cut(self, sent: float, factor: float) -> bool:
        """Lower the limit, unless it was lowered since the request of `sent` went out."""
        if sent < self._cut:
            return False
        self._too_many = self.limit
        self.limit = max(1.0, self.limit * factor)
        self._cut = time.monotonic()
        return True

    def hold(self) -> None:
        """Let nobody in until `release`: the server may be away."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._admit()

    def _open(self, now: float) -> bool:
        return self.flying < int(self.limit) and now >= self._until and not self._held

    def _admit(self) -> None:
        while self._waiting and self._open(time.monotonic()):
            turn = self._waiting.popleft()
            if not turn.done():
                self.flying += 1
                turn.set_result(None)
