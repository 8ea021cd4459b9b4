"""Arguments and options that several commands take, and what they come to."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.recipe import Recipe, Stage
    from pipelines.run import Run

SHARDED = ("generate", "judge", "evaluate")
"""The stages whose work several machines can share."""

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        envvar="THINKIN_RECIPE",
        show_envvar=False,
        help="A YAML file, or the name of a shipped recipe; in THINKIN_RECIPE also the YAML itself.",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe, in YAML.")
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Only this part of the work, of N (I from 1 on).")
]
Limit = Annotated[int | None, typer.Option(help="At most so many prompts and benchmark items per language.")]
Languages = Annotated[str | None, typer.Option(metavar="RU,UK", help="Only these languages of the recipe.")]
PricesFile = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE", help="Prices, in place of the recipe's; see pipelines/prices."),
]
BuildArguments = Annotated[
    list[str] | None, typer.Option("--build-arg", metavar="NAME=VALUE", help="An argument of the image's Dockerfile.")
]
Gpus = Annotated[str | None, typer.Option(metavar="all|none|N", help="Of the container; all where a stage needs one.")]
Memory = Annotated[str | None, typer.Option(metavar="16g", help="The most that the container may use.")]
FromStage = Annotated[str | None, typer.Option("--from", metavar="STAGE", help="The first stage to run.")]
ToStage = Annotated[str | None, typer.Option("--to", metavar="STAGE", help="The last stage to run.")]


@contextmanager
def started(
    recipe: str,
    overrides: list[str] | None,
    limit: int | None,
    languages: str | None,
    reading: bool = False,
    prices: Path | None = None,
) -> "Iterator[Run]":
    from pipelines import hub
    from pipelines.recipes import load
    from pipelines.run import Run
    from pipelines.screen import Screen

    chosen = [part.strip() for part in languages.split(",")] if languages else None
    config = load(recipe, overrides or (), limit=limit, languages=chosen, prices=priced(prices) if prices else None)
    yield Run(config, hub.connect(config.namespace, reading), Screen())


def priced(path: Path) -> object:
    """The file as it is: what is wrong with it, the recipe says."""
    import yaml

    from pipelines.errors import RecipeError

    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"--prices {path}: {' '.join(str(error).split())}") from None


def between(first: str | None, last: str | None, recipe: "Recipe | None" = None) -> "tuple[Stage, ...]":
    """Those of the `recipe`, where it is given."""
    from pipelines.errors import RecipeError
    from pipelines.recipe import STAGES

    for name in filter(None, (first, last)):
        if name not in STAGES:
            raise RecipeError(f"there is no stage {name!r}; the stages are: {', '.join(STAGES)}")
    begin, end = (STAGES.index(name) for name in (first or STAGES[0], last or STAGES[-1]))  # pyright: ignore[reportArgumentType]
    chosen = STAGES[begin : end + 1]
    if not chosen:
        raise RecipeError(f"--from {first} comes after --to {last}")
    wanted = recipe.stages if recipe else STAGES
    mine: tuple[Stage, ...] = tuple(stage for stage in chosen if stage in wanted)  # pyright: ignore[reportAssignmentType]
    if not mine:
        raise RecipeError(f"the recipe has no section {chosen[0]}: add one, or leave that stage out")
    return mine
