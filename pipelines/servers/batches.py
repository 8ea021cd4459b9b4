"""Requests that arrive one by one, worked off together: a model takes little longer for many than for one."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

GATHER_S = 0.1
"""How long a batch with room left waits for one more request: clients send theirs a few milliseconds apart, and a batch
of one would keep the others waiting for as long as a full one."""


@dataclass
class Batches(Generic[Q, A]):
    """`work` gets at most `most` requests at a time: the oldest that waits, and those nearest to it in `size`."""

    work: Callable[[Sequence[Q]], Sequence[A]]
    size: Callable[[Q], int]
    most: int
    waiting: list[tuple[Q, asyncio.Future[A]]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: Q) -> A:
        """The answer to one request; RuntimeError (what torch raises, out of memory included) where it failed."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self.waiting.append((request, future))
        self.arrived.set()
        return await future

    async def run(self) -> None:
        while True:
            await self._gathered()
            self.waiting = [entry for entry in self.waiting if not entry[1].done()]  # the client has gone
            if not self.waiting:
                continue
            wanted = self.size(self.waiting[0][0])
            nearest = sorted(self.waiting, key=lambda entry: abs(self.size(entry[0]) - wanted))  # stable: oldest first
            batch, self.waiting = nearest[: self.most], nearest[self.most :]
            requests, futures = zip(*batch, strict=True)
            try:
                answers = await asyncio.to_thread(self.work, requests)
            except RuntimeError as error:
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
            else:
                for future, answer in zip(futures, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)

    async def _gathered(self) -> None:
        """Wait until a batch is full, or nothing more arrives."""
        while not self.waiting:
            self.arrived.clear()
            await self.arrived.wait()
        while len(self.waiting) < self.most:
            self.arrived.clear()
            try:
                await asyncio.wait_for(self.arrived.wait(), GATHER_S)
            except TimeoutError:
                return
