"""Bounded concurrency: a step on every item, so many at a time, and a row or a failure of each."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Generic

from pydantic_core import PydanticSerializationError

from pipelines.diagnosis import Watch, diagnosed
from pipelines.errors import SampleError, StageError
from pipelines.flow.items import Item, Placed, R, T
from pipelines.flow.output import Output
from pipelines.records import Failure

READ_AT_ONCE = 64


async def each(
    items: Iterable[Item[T]],
    step: Callable[[T], Awaitable[Placed[R]]],
    parallel: int,
    output: Output[R],
    label: str | None = None,
) -> None:
    """Run `step` on every item, `parallel` at a time. What was made is published even when the run is broken off."""
    total = len(items) if isinstance(items, Sequence) else output.expected
    queue = _Queue(items)
    watch, failed_before = Watch(), len(output.failures)

    async def work() -> None:
        while item := await queue.next():
            try:
                _keep(output, await step(item.value))
                watch.succeeded()
            except SampleError as error:
                output.failures.append(_failure(item, output.stage, error))
                watch.failed(error.reason, str(error))
            bar.advance(note=f"{len(output.failures)} failed" if output.failures else "")
            await output.checkpoint_if_due()

    with output.run.screen.bar(label or output.stage, total) as bar:
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
    failed = len(output.failures) - failed_before
    if failed and failed == queue.taken and not output.holds_rows():
        reasons = Counter(failure.error for failure in output.failures)
        raise StageError(f"all {failed} samples failed. {diagnosed(reasons, output.failures[-1].message)}")


class _Queue(Generic[T]):
    """Items as the workers ask for them. They are read in a thread, a few at a time: what they are read from may have
    to be fetched first, and the requests under way must not wait for that."""

    def __init__(self, items: Iterable[Item[T]]) -> None:
        self._items, self._ready, self._reading, self.taken = iter(items), deque[Item[T]](), asyncio.Lock(), 0

    async def next(self) -> Item[T] | None:
        if not self._ready:
            async with self._reading:
                if not self._ready:
                    self._ready.extend(await asyncio.to_thread(lambda: list(islice(self._items, READ_AT_ONCE))))
        if not self._ready:
            return None
        self.taken += 1
        return self._ready.popleft()


def _keep(output: Output[R], placed: Placed[R]) -> None:
    try:
        output.add(placed)
    except PydanticSerializationError as error:  # half of a surrogate pair, which JSON admits and UTF-8 does not
        raise SampleError("unwritable", f"the row cannot be written: {' '.join(str(error).split())}") from None


def _failure(item: Item[Any], stage: str, error: SampleError) -> Failure:
    return Failure(
        id=item.id, stage=stage, language=item.language, error=error.reason, message=str(error), attempts=error.attempts
    )
