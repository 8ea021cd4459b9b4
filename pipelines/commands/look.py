"""The commands that make nothing: what a run will cost, how judges agree, what was made and from what."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import (
    FromStage,
    Languages,
    Limit,
    Overrides,
    PricesFile,
    RecipeName,
    ToStage,
    between,
    started,
)

app = typer.Typer()


@app.command("plan")
def plan_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    prices: PricesFile = None,
    from_: FromStage = None,
    to: ToStage = None,
) -> None:
    """Say what a run will make and cost before it is run: rows, requests, tokens, money, GPU hours."""
    with started(recipe, set_, limit, languages, reading=True, prices=prices) as run:
        from pipelines.plan.overview import markdown

        typer.echo(markdown(run, between(from_, to, run.recipe)), nl=False)


@app.command("calibrate")
def calibrate_command(recipe: RecipeName, set_: Overrides = None, languages: Languages = None) -> None:
    """Compare a recipe's judges with scores that people gave, before they are believed; publishes nothing."""
    with started(recipe, set_, None, languages) as run:
        from pipelines import calibration

        calibration.run(run)


@app.command("lineage")
def lineage_command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="REPO_OR_ROW",
            help="me/demo, me/demo@REVISION, or a row: me/demo#ID.",
        ),
    ],
) -> None:
    """Walk back from a model, a data set or a row to all that it was made from; say what is gone or changed."""
    from pipelines import lineage
    from pipelines.screen import Screen

    lineage.run(what, Screen())


@app.command("report")
def report_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; NAME-report.html here by default.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Show the texts of so many prompts and items per language.")] = 20,
) -> None:
    """Write one HTML page of a run: its tables, and the texts before and after, chosen and rejected, side by side."""
    with started(recipe, set_, limit, languages, reading=True) as run:
        from pipelines import report

        report.write(run, output or Path(f"{run.recipe.name}-report.html"), rows)


@app.command("inspect")
def inspect_command(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A data set that a stage published: NAMESPACE/NAME.")],
    language: Annotated[str | None, typer.Option(metavar="RU", help="Only rows in this language.")] = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="Those that were refused, and why.")] = False,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only rows that hold this text.")] = "",
) -> None:
    """Page through the rows of a repo, other languages and maths marked."""
    from rich.console import Console

    from pipelines import browse, hub

    namespace = repo.split("/")[0] if "/" in repo else None
    browse.inspect(hub.connect(namespace, reading=True), repo, language, rejected, search, Console(highlight=False))
