"""One stage elsewhere: in a container on this machine, as a job of Hugging Face, or by GitHub's Actions."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.commands.options import (
    SHARDED,
    BuildArguments,
    Gpus,
    Languages,
    Limit,
    Memory,
    Overrides,
    RecipeName,
    ShardOption,
    between,
    started,
)

if TYPE_CHECKING:
    from pipelines.recipe import Stage
    from pipelines.run import Run

app = typer.Typer()


@app.command("launch")
def launch_command(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="One of the stages.")],
    recipe: RecipeName,
    on: Annotated[
        Literal["docker", "jobs", "actions"],
        typer.Option(
            "--on",
            help="docker: a container on this machine; jobs: Hugging Face's machines; actions: GitHub's runners.",
        ),
    ],
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    shard: ShardOption = None,
    image: Annotated[
        str | None, typer.Option(help="The image to use as it is; on docker, without one it is built from this clone.")
    ] = None,
    build_arg: BuildArguments = None,
    gpus: Gpus = None,
    memory: Memory = None,
    flavor: Annotated[str | None, typer.Option(help="On jobs: the hardware, by its name there.")] = None,
    timeout: Annotated[str, typer.Option(help="On jobs: how long it may take, in s, m, h or d.")] = "12h",
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="On actions: an input of pipeline.yml, as gpu-runner=a100."),
    ] = None,
) -> None:
    """Run one stage elsewhere: in a container on this machine, as a job of Hugging Face, or by GitHub's Actions."""
    (name,) = between(stage, stage)
    if shard and (name not in SHARDED or on == "actions"):
        raise typer.BadParameter(f"--shard is for {', '.join(SHARDED)}, and on actions there is --input shards=N")
    if on == "actions":
        from pipelines.launch import actions
        from pipelines.screen import Screen

        inputs = actions.inputs(name, recipe, limit, languages, set_ or (), input_ or ())
        actions.run(actions.place(), inputs, Screen())
        return
    with started(recipe, set_, limit, languages) as run:
        if on == "docker":
            in_docker(run, name, image, build_arg, gpus, memory, shard)
        else:
            from pipelines.launch import jobs, specify

            task = specify(name, run.recipe, run.hub.token, shard=shard)
            jobs.run(task, run.hub.api, run.screen, image, flavor, timeout)


def in_docker(
    run: "Run",
    stage: "Stage",
    image: str | None,
    arguments: list[str] | None,
    gpus: str | None,
    memory: str | None,
    shard: str | None = None,
) -> None:
    from pipelines.launch import specify

    try:
        from pipelines.launch import docker
    except ModuleNotFoundError as missing:
        from pipelines.errors import StageError

        raise StageError(f"the Python package {missing.name} is not installed: pip install '.[launch]'") from None
    task = specify(stage, run.recipe, run.hub.token, shard=shard)
    docker.run(task, run.screen, image, arguments or (), gpus, memory)
