"""Bounded concurrency: a step on every item, so many at a time, and a row or a failure of each."""

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, TypeAlias

from pydantic_core import PydanticSerializationError

from pipelines.diagnosis import Watch, diagnosed
from pipelines.errors import SampleError, StageError
from pipelines.flow.items import Item, Placed, R, T
from pipelines.flow.output import Output
from pipelines.records import Failure

READ_AT_ONCE = 256
SELDOM = 50_000
"""New objects after which Python looks for those that only hold each other."""
More: TypeAlias = Callable[[Item[T], Placed[R] | None], Iterable[Item[T]]]


async def each(
    items: Iterable[Item[T]],
    step: Callable[[T], Awaitable[Placed[R]]],
    parallel: int,
    output: Output[R],
    label: str | None = None,
    more: More[T, R] | None = None,
) -> None:
    """Run `step` on every item, `parallel` at a time. What was made is published even when the run is broken off.

    `more` names the items that an item calls for once it is done, with its row, or None where it failed; they come
    before all others. BudgetSpent where the recipe's budget ends first: what is under way then comes to its end.
    """
    total = len(items) if isinstance(items, Sequence) else output.expected
    queue = _Queue(items, more)
    watch, failed_before = Watch(), len(output.failures)

    async def work() -> None:
        while item := await queue.next():
            if not output.cap.admits():
                queue.back(item)
                return
            try:
                placed = await step(item.value)
                _keep(output, placed)
                watch.succeeded()
            except SampleError as error:
                placed = None
                output.failed(_failure(item, output.stage, error))
                watch.failed(error.reason, str(error))
            queue.done(item, placed)
            output.cap.left()
            bar.advance(note=f"{len(output.failures)} failed" if output.failures else "")
            await output.checkpoint_if_due()

    with output.run.screen.bar(label or output.stage, total) as bar, _collecting_seldom():
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(parallel):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            output.leave()
            raise errors.exceptions[0] from None
        except asyncio.CancelledError:
            output.leave()
            raise
    if output.cap.reached and queue.holds:
        output.leave()
        raise output.cap.spent(output.cap.reached)
    failed = len(output.failures) - failed_before
    if failed and failed == queue.taken and not output.holds_rows():
        reasons = Counter(failure.error for failure in output.failures)
        raise StageError(f"all {failed} samples failed. {diagnosed(reasons, output.failures[-1].message)}")


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Rows and requests hold no circles: of 20,000 Python's collector freed 300 objects, and took a sixth of all
    processor time, most of it for looking at what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(SELDOM, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class _Queue(Generic[T, R]):
    """Items as the workers ask for them. They are read in a thread, a few at a time and a few ahead: what they are read
    from may have to be fetched first, and the requests under way must not wait for that."""

    def __init__(self, items: Iterable[Item[T]], more: More[T, R] | None) -> None:
        self._items, self._more, self._ready = iter(items), more, deque[Item[T]]()
        self._turn, self._changed = asyncio.Lock(), asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._ended, self._busy, self.taken = False, 0, 0

    async def next(self) -> Item[T] | None:
        if not self._ready:
            async with self._turn:
                await self._fill()
        if not self._ready:
            return None
        self._read_ahead()
        self.taken += 1
        self._busy += 1
        return self._ready.popleft()

    async def _fill(self) -> None:
        """Until there are items, or none will come any more."""
        while not self._ready:
            self._read_ahead()
            if self._reading:
                await asyncio.shield(self._reading)
            elif self._more and self._busy:
                self._changed.clear()
                await self._changed.wait()
            else:
                return

    def _read_ahead(self) -> None:
        if self._reading and self._reading.done():
            self._reading.result()  # what went wrong with it, if anything did
            self._reading = None
        if self._reading is None and not self._ended and len(self._ready) < READ_AT_ONCE:
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        read = await asyncio.to_thread(lambda: list(islice(self._items, READ_AT_ONCE)))
        self._ready.extend(read)
        self._ended = not read

    @property
    def holds(self) -> bool:
        """Whether items are left that were read."""
        return bool(self._ready)

    def back(self, item: Item[T]) -> None:
        """An item that nothing was done with."""
        self._ready.appendleft(item)
        self.taken -= 1
        self._busy -= 1
        self._changed.set()

    def done(self, item: Item[T], placed: Placed[R] | None) -> None:
        self._busy -= 1
        if self._more:
            self._ready.extendleft(reversed(list(self._more(item, placed))))
            self._changed.set()


def _keep(output: Output[R], placed: Placed[R]) -> None:
    try:
        output.add(placed)
    except PydanticSerializationError as error:  # half of a surrogate pair, which JSON admits and UTF-8 does not
        raise SampleError("unwritable", f"the row cannot be written: {' '.join(str(error).split())}") from None


def _failure(item: Item[Any], stage: str, error: SampleError) -> Failure:
    return Failure(
        id=item.id, stage=stage, language=item.language, error=error.reason, message=str(error), attempts=error.attempts
    )
