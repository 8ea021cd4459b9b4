"""Benchmarks that come with the house, each described in a few lines of YAML; a recipe names them.

A file is a list. An entry is a description (`recipe.Benchmark`), or the name of another file, which stands for all that
is in it. In a recipe the same holds, and `{use: NAME, ...}` takes a description with some of it replaced: `languages`,
`rows` or `revision`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import RecipeError

FOLDER = Path(__file__).parent
_IN_SOURCE = ("rows", "revision")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def expand(entries: Sequence[object]) -> Iterator[object]:
    """Descriptions in the place of names; what is neither is left for the recipe's own check. RecipeError for a name
    that is not there."""
    for entry in entries:
        if isinstance(entry, str):
            yield from _load(entry)
        elif isinstance(entry, dict) and "use" in entry:
            changes: dict[str, Any] = {key: value for key, value in entry.items() if key != "use"}
            yield from (_changed(found, changes) for found in _load(str(entry["use"])))
        else:
            yield entry


def _load(name: str) -> Iterator[Any]:
    if name not in names():
        raise RecipeError(f"evaluate.benchmarks: there is no benchmark {name!r}; there are: {', '.join(names())}")
    yield from expand(yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8")))


def _changed(description: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in changes.items() if key in _IN_SOURCE}
    outer = {key: value for key, value in changes.items() if key not in _IN_SOURCE}
    return {**description, **outer, "source": {**description["source"], **inner}}
