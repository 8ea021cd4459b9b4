"""The embedded Hub: one process on loopback that speaks the Hub's HTTP API to the unmodified clients.

    store/   what is kept and how it survives a crash; knows no HTTP
    api/     what the clients say on the wire; knows no SQL
    pages/   what a browser sees; reads the store, writes nothing
    upkeep/  what is done to a folder beside serving it: verify, collect garbage, export
    app.py   from a request to its handler; server.py: from a folder to a listening socket; hosts.py: its names

An island: it imports nothing else of `pipelines`, and only the command that starts it imports it. Importing
this module costs nothing; the web server is loaded by `serve`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.localhub.upkeep.garbage import Dropped
    from pipelines.localhub.upkeep.verify import Damage


def serve(data: Path, host: str, port: int, token: str | None, user: str, on_ready: Callable[[str], None]) -> None:
    """Serves the Hub kept in `data` until interrupted; `port` 0 picks a free one.

    `token` becomes the write token of `user` and replaces the one before it. Without one, the tokens that the
    folder already knows keep working. `on_ready` gets the base URL once connections are accepted.

    Raises OSError when the address cannot be had, RuntimeError when another process serves the folder or a
    different version wrote it, ValueError when `user` could own no repo or `token` be no token.
    """
    from pipelines.localhub.server import run

    run(data, host, port, token, user, on_ready)


def is_served(data: Path) -> bool:
    """Whether a process has the folder, be it one that is about to end."""
    from pipelines.localhub.hub import ServedError, own

    try:
        os.close(own(data))
    except ServedError:
        return True
    return False


def verify(data: Path) -> "Iterator[Damage]":
    """As `upkeep.verify.verify`."""
    from pipelines.localhub.upkeep.verify import verify

    return verify(data)


def collect_garbage(data: Path) -> "Dropped":
    """As `upkeep.garbage.collect`."""
    from pipelines.localhub.upkeep.garbage import collect

    return collect(data)


def export(data: Path, target: Path, repos: Sequence[str], revision: str) -> Iterator[Path]:
    """As `upkeep.export.export`."""
    from pipelines.localhub.upkeep.export import export

    return export(data, target, repos, revision)
