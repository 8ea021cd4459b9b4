"""The embedded Hub's folder, looked after: checked, freed of what nothing needs, taken out as plain folders."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from pipelines import localhub
from pipelines.errors import StageError
from pipelines.localhub.errors import ServedError


def verify(data: Path) -> None:
    """One line for each thing that is wrong; exit code 1 if there is any."""
    found = 0
    with _told(data):
        for damage in localhub.verify(data):
            found += 1
            typer.echo(f"{damage.where}: {damage.what}")
    if found:
        raise StageError(f"damaged in {found} places")
    typer.echo("every object is whole and in its place")


def collect_garbage(data: Path) -> None:
    with _told(data):
        dropped = localhub.collect_garbage(data)
    typer.echo(
        f"dropped {dropped.commits} commits, {dropped.objects} small files and folders, {dropped.large_files} large"
        f" files: {dropped.bytes} bytes"
    )


def export(data: Path, target: Path, repos: Sequence[str], revision: str) -> None:
    with _told(data):
        for folder in localhub.export(data, target, repos, revision):
            typer.echo(folder)


@contextmanager
def _told(data: Path) -> Iterator[None]:
    """What stands in the way, as one line."""
    try:
        yield
    except ServedError as error:
        raise StageError(f"{error}; stop it first: python -m pipelines hub --stop --data {data}") from None
    except (OSError, RuntimeError) as error:
        raise StageError(str(error)) from None
    except sqlite3.Error as error:
        raise StageError(f"{data}: {error}") from None
