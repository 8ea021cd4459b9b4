"""Responses that people scored: a Hub data set or a file (JSONL or CSV) of one row for each response and criterion,
with the columns of `Labelled`."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from pipelines import sources
from pipelines.errors import StageError
from pipelines.facts import Input
from pipelines.recipe import Calibration, HubSource
from pipelines.records import Record
from pipelines.run import Run


class Labelled(Record):
    """A response that a person scored from 1 to 5."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)
    language: str
    criterion: str
    prompt: str
    reasoning: str
    answer: str
    score: Annotated[int, Field(ge=1, le=5)]


_COLUMNS = ", ".join(Labelled.model_fields)


def inputs(run: Run) -> list[Input]:
    """The recipe's set as it is now: the commit of a data set, or the digest of a file; empty where there is none."""
    config = run.recipe.calibration
    if config is None:
        return []
    if config.file is None:
        return [sources.revision(_source(config), run.hub)]
    content = _text(Path(config.file)).encode()
    return [Input(repo=Path(config.file).name, kind="file", revision=hashlib.sha256(content).hexdigest())]


def labelled(run: Run, config: Calibration) -> tuple[Labelled, ...]:
    """The rows in the recipe's languages; StageError with the place of the first that is not one."""
    name = config.file or config.id or ""
    rows = list[Labelled]()
    for place, row in _lines(run, config):
        try:
            rows.append(Labelled.model_validate(row))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            column = ".".join(map(str, first["loc"]))
            raise StageError(f"{name}, {place}: {column}: {first['msg']}: each row needs {_COLUMNS}") from None
    mine = tuple(row for row in rows if row.language in run.recipe.languages)
    if not mine:
        raise StageError(f"{name} holds no scores in the recipe's languages: {', '.join(run.recipe.languages)}")
    return mine


def _lines(run: Run, config: Calibration) -> Iterator[tuple[str, Any]]:
    if config.file is None:
        source = _source(config)
        languages = run.recipe.languages if "{language}" in (config.config or "") else ("",)
        for language in languages:
            table = sources.table(source, sources.revision(source, run.hub), language)
            yield from ((f"row {number}", dict(row)) for number, row in enumerate(table))
        return
    path = Path(config.file)
    text = _text(path)
    if path.suffix == ".csv":
        yield from ((f"line {number}", row) for number, row in enumerate(csv.DictReader(text.splitlines()), start=2))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError:
                raise StageError(f"{path}, line {number} is no JSON: one object on each line") from None


def _source(config: Calibration) -> HubSource:
    return HubSource(
        kind="hub",
        id=config.id or "",
        config=config.config,
        split=config.split,
        text="prompt",
        language="any",
        revision=config.revision,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(f"calibration.file: {path} cannot be read: {error}") from None
