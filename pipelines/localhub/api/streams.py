"""Long request bodies, on their way to the disk."""

import asyncio
from collections.abc import AsyncIterator, Callable

from anyio import to_thread

# Large enough that a thread per piece costs little, small enough to hold two of them.
PIECE = 1 << 20


async def pour(chunks: AsyncIterator[bytes], write: Callable[[bytearray], object]) -> None:
    """Writes a body in a thread, in its order, while the next piece arrives; done when all of it is written.

    Whatever goes wrong, no write is under way any more once this has raised.
    """
    piece, writing = bytearray(), None
    try:
        async for chunk in chunks:
            piece += chunk
            if len(piece) >= PIECE:
                if writing:
                    await writing
                writing = asyncio.create_task(to_thread.run_sync(write, piece))
                piece = bytearray()
    finally:
        if writing:
            await writing
    await to_thread.run_sync(write, piece)
