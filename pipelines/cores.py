"""A function of many values on all cores of this machine, in the order of the values, in processes of its own."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from pipelines import tether

A = TypeVar("A")
B = TypeVar("B")

MOST = 8
"""Processes, whatever the machine has: more than these cannot be fed by one."""
TOGETHER = 32
"""Values that go to a process at a time."""
AHEAD = 3
"""Such bundles for each process that are under way or ready."""
WORTH = 2.0
"""Seconds of work after which processes are started, which takes them about as long."""


@contextmanager
def spread(function: Callable[[A], B], values: Iterable[A]) -> Iterator[Iterator[B]]:
    """What `function` makes of each value. It has to be importable, and values and results to be picklable. What it
    raises is raised here; a process that dies is a BrokenProcessPool."""
    processes = min(MOST, len(os.sched_getaffinity(0)))
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _outlives_nobody, (os.getpid(),))
    try:
        yield _results(pool, function, iter(values), processes * AHEAD)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, function: Callable[[A], B], values: Iterator[A], ahead: int) -> Iterator[B]:
    worked = 0.0
    for value in values:
        began = time.monotonic()
        result = function(value)
        worked += time.monotonic() - began
        yield result
        if worked > WORTH:
            break
    under_way = deque[Future[list[B]]]()
    while True:
        while len(under_way) < ahead and (some := list(islice(values, TOGETHER))):
            under_way.append(pool.submit(_each, function, some))
        if not under_way:
            return
        yield from under_way.popleft().result()


def _each(function: Callable[[A], B], values: Sequence[A]) -> list[B]:
    return [function(value) for value in values]


def _outlives_nobody(parent: int) -> None:
    """A process of the pool ends with the one that started it, however that ends, and for no other reason."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they are sent to the whole group
        signal.signal(number, signal.SIG_IGN)
    tether.follow(parent)
