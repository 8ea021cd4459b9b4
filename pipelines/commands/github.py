"""What the workflows on GitHub ask."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import FromStage, Languages, Limit, Overrides, RecipeName, ToStage, between, started

app = typer.Typer(no_args_is_help=True, help="What the workflows on GitHub ask.")


@app.command("plan")
def github_plan_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    from_: FromStage = None,
    to: ToStage = None,
    shards: Annotated[int, typer.Option(min=1, max=256, help="How many runners share a stage that can be.")] = 1,
    runner: Annotated[str, typer.Option(help="The label of runners without a GPU.")] = "ubuntu-latest",
    gpu_runner: Annotated[str, typer.Option(help="The label of runners with a GPU.")] = "gpu",
    train_runners: Annotated[
        str, typer.Option(metavar="A=ADDRESS,B", help="The runners of a training on several machines.")
    ] = "",
    images: Annotated[str, typer.Option(metavar="JSON", help="Name of an image: NAME@DIGEST; for none {}.")] = "{}",
    trusted_publishers: Annotated[
        bool, typer.Option("--trusted-publishers", help="Publish without HF_TOKEN, to repos that trust this one.")
    ] = False,
    jobs: Annotated[Path | None, typer.Option(help="Write the jobs to this file, as GITHUB_OUTPUT takes them.")] = None,
) -> None:
    """Print what a run will do, as Markdown, and write the jobs of each stage."""
    with started(recipe, set_, limit, languages, reading=True) as run:
        from pipelines import workflow

        together = tuple(filter(None, train_runners.split(",")))
        settings = workflow.Settings(shards, runner, gpu_runner, json.loads(images), trusted_publishers, together)
        planned = workflow.plan(run, between(from_, to, run.recipe), settings)
        typer.echo(workflow.overview(run, planned))
        if jobs:
            with jobs.open("a", encoding="utf-8") as file:
                file.write(workflow.outputs(planned))


@app.command("report")
def github_report_command(
    recipe: RecipeName,
    needs: Annotated[str, typer.Option(metavar="JSON", help="GitHub's context of this name: each job's result.")],
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
) -> None:
    """Print what became of a run, as Markdown: its jobs, the repos on the Hub, the result table."""
    with started(recipe, set_, limit, languages, reading=True) as run:
        from pipelines import workflow

        typer.echo(workflow.report(run, json.loads(needs)))
