"""The command line. `python -m pipelines --help` must stay fast, so whatever is heavy is imported inside a command."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import typer.exceptions

from pipelines.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.recipe import Stage
    from pipelines.run import Run

app = typer.Typer(
    help="Reasoning models that think in your language, stage by stage over the Hugging Face Hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130
"""The exit code of a shell for Ctrl-C; typer returns it, too."""

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


def main() -> None:
    _environment()
    # whoever started us may have had Ctrl-C ignored, as a shell does for what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        code = app(standalone_mode=False)
    except Problem as problem:
        typer.echo(f"error: {problem}", err=True)
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.exceptions.TyperException as usage:  # a wrong option or argument
        typer.echo(f"error: {usage}", err=True)
        sys.exit(2)
    if code == INTERRUPTED:
        typer.echo("stopped; what was published stays, and the same command goes on from there", err=True)
    sys.exit(code or 0)


def _environment() -> None:
    """Settings that the Hub's libraries read once, at their first import."""
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if os.environ.get("HF_ENDPOINT", "").rstrip("/") not in ("", "https://huggingface.co"):
        # what our stages send differs from one run to the next: the embedded Hub would only keep it twice
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def _stage_command(name: "Stage", help_text: str) -> Callable[..., None]:
    def command(
        recipe: RecipeName,
        set_: Overrides = None,
        limit: Limit = None,
        languages: Languages = None,
        prices: PricesFile = None,
    ) -> None:
        with _started(recipe, set_, limit, languages, prices=prices) as run:
            _work(run, name)

    def shard_command(
        recipe: RecipeName,
        set_: Overrides = None,
        limit: Limit = None,
        languages: Languages = None,
        prices: PricesFile = None,
        shard: ShardOption = None,
    ) -> None:
        with _started(recipe, set_, limit, languages, prices=prices) as run:
            _work(run, name, shard)

    made = shard_command if name in SHARDED else command
    made.__name__, made.__doc__ = name, help_text
    return made


for _name, _help in {
    "prompts": "Sample the sources, translate, check: writes NAME-prompts.",
    "generate": "Let the teacher write chains: writes NAME-candidates.",
    "judge": "Structure, language, answer, judges: writes NAME-judged.",
    "choose": "The best of each prompt: writes the data set NAME.",
    "train": "Fine-tune the student on it: writes the model NAME-STUDENT.",
    "evaluate": "Base and trained model on held-out items: writes NAME-results.",
}.items():
    app.command(_name)(_stage_command(_name, _help))  # pyright: ignore[reportArgumentType]


@app.command("run")
def run_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    prices: PricesFile = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="The first stage to run.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = None,
    in_: Annotated[
        Literal["docker"] | None, typer.Option("--in", help="Each stage in a container of its own, on this machine.")
    ] = None,
    build_arg: BuildArguments = None,
    gpus: Gpus = None,
    memory: Memory = None,
) -> None:
    """Run all stages of a recipe, one after the other; what is done already is not done again."""
    stages = _between(from_, to)
    with _started(recipe, set_, limit, languages, prices=prices) as run:
        from pipelines import imports

        imports.ensure(run.hub, run.recipe.imports, run.screen)
        for stage in stages:
            if in_ == "docker":
                _in_docker(run, stage, None, build_arg, gpus, memory)
            else:
                _work(run, stage)
        _goodbye(run)


@app.command("plan")
def plan_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    prices: PricesFile = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="The first stage to run.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = None,
) -> None:
    """Say what a run will make and cost before it is run: rows, requests, tokens, money, GPU hours."""
    stages = _between(from_, to)
    with _started(recipe, set_, limit, languages, reading=True, prices=prices) as run:
        from pipelines.plan.overview import markdown

        typer.echo(markdown(run, stages), nl=False)


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
    (name,) = _between(stage, stage)
    if shard and (name not in SHARDED or on == "actions"):
        raise typer.BadParameter(f"--shard is for {', '.join(SHARDED)}, and on actions there is --input shards=N")
    if on == "actions":
        from pipelines.launch import actions
        from pipelines.screen import Screen

        inputs = actions.inputs(name, recipe, limit, languages, set_ or (), input_ or ())
        actions.run(actions.place(), inputs, Screen())
        return
    with _started(recipe, set_, limit, languages) as run:
        if on == "docker":
            _in_docker(run, name, image, build_arg, gpus, memory, shard)
        else:
            from pipelines.launch import jobs, specify

            task = specify(name, run.recipe, run.hub.token, shard=shard)
            jobs.run(task, run.hub.api, run.screen, image, flavor, timeout)


@app.command("calibrate")
def calibrate_command(recipe: RecipeName, set_: Overrides = None, languages: Languages = None) -> None:
    """Compare a recipe's judges with scores that people gave, before they are believed; publishes nothing."""
    with _started(recipe, set_, None, languages) as run:
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


@app.command("import")
def import_command(recipe: RecipeName, set_: Overrides = None) -> None:
    """Put the models that a recipe imports on the Hub, where they are not there yet."""
    with _started(recipe, set_, None, None) as run:
        from pipelines import imports

        imports.ensure(run.hub, run.recipe.imports, run.screen)


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
    with _started(recipe, set_, limit, languages, reading=True) as run:
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


hub_app = typer.Typer(invoke_without_command=True)
app.add_typer(hub_app, name="hub")

HubData = Annotated[Path, typer.Option(help="The folder that holds everything.")]
HUB_DATA = Path(".thinkin/hub")


@hub_app.callback()
def hub_command(
    context: typer.Context,
    data: HubData = HUB_DATA,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8790,
    token: Annotated[
        str | None, typer.Option(envvar="HF_TOKEN", help="The token that may write.", show_default=False)
    ] = None,
    user: Annotated[str, typer.Option(help="The account of that token.")] = "local",
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the one that runs in the background.")] = False,
) -> None:
    """Serve the embedded Hub, which the Hub's own clients use through HF_ENDPOINT."""
    if context.invoked_subcommand:
        if context.params["data"] != HUB_DATA:
            raise typer.BadParameter(f"--data stands behind the command: hub {context.invoked_subcommand} --data DIR")
        return
    from pipelines import daemon

    if stop:
        daemon.stop(data)
    elif detach:
        daemon.start(data, host, port, token, user)
    else:
        daemon.serve(data, host, port, token, user)


@hub_app.command("verify")
def hub_verify_command(data: HubData = HUB_DATA) -> None:
    """Read everything in the folder again and say what is damaged; the Hub may be running."""
    from pipelines import upkeep

    upkeep.verify(data)


@hub_app.command("gc")
def hub_gc_command(data: HubData = HUB_DATA) -> None:
    """Give the room back that deleted repos, squashed histories and abandoned uploads hold; the Hub must be stopped."""
    from pipelines import upkeep

    upkeep.collect_garbage(data)


@hub_app.command("export")
def hub_export_command(
    target: Annotated[Path, typer.Argument(help="The folder to write to.")],
    repos: Annotated[
        list[str] | None, typer.Argument(metavar="[REPO]...", help="datasets/NS/NAME or models/NS/NAME; all without.")
    ] = None,
    data: HubData = HUB_DATA,
    revision: Annotated[str, typer.Option(help="A branch, a tag or a commit.")] = "main",
) -> None:
    """Write repos as plain folders: TARGET/datasets/NS/NAME and TARGET/models/NS/NAME; the Hub may be running."""
    from pipelines import upkeep

    upkeep.export(data, target, repos or [], revision)


github_app = typer.Typer(no_args_is_help=True, help="What the workflows on GitHub ask.")
app.add_typer(github_app, name="github")


@github_app.command("plan")
def github_plan_command(
    recipe: RecipeName,
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="The first stage to run.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = None,
    shards: Annotated[int, typer.Option(min=1, max=256, help="How many runners share a stage that can be.")] = 1,
    runner: Annotated[str, typer.Option(help="The label of runners without a GPU.")] = "ubuntu-latest",
    gpu_runner: Annotated[str, typer.Option(help="The label of runners with a GPU.")] = "gpu",
    images: Annotated[str, typer.Option(metavar="JSON", help="Name of an image: NAME@DIGEST; for none {}.")] = "{}",
    trusted_publishers: Annotated[
        bool, typer.Option("--trusted-publishers", help="Publish without HF_TOKEN, to repos that trust this one.")
    ] = False,
    jobs: Annotated[Path | None, typer.Option(help="Write the jobs to this file, as GITHUB_OUTPUT takes them.")] = None,
) -> None:
    """Print what a run will do, as Markdown, and write the jobs of each stage."""
    stages = _between(from_, to)
    with _started(recipe, set_, limit, languages, reading=True) as run:
        from pipelines import workflow

        settings = workflow.Settings(shards, runner, gpu_runner, json.loads(images), trusted_publishers)
        planned = workflow.plan(run, stages, settings)
        typer.echo(workflow.overview(run, planned))
        if jobs:
            with jobs.open("a", encoding="utf-8") as file:
                file.write(workflow.outputs(planned))


@github_app.command("report")
def github_report_command(
    recipe: RecipeName,
    needs: Annotated[str, typer.Option(metavar="JSON", help="GitHub's context of this name: each job's result.")],
    set_: Overrides = None,
    limit: Limit = None,
    languages: Languages = None,
) -> None:
    """Print what became of a run, as Markdown: its jobs, the repos on the Hub, the result table."""
    with _started(recipe, set_, limit, languages, reading=True) as run:
        from pipelines import workflow

        typer.echo(workflow.report(run, json.loads(needs)))


@contextmanager
def _started(
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
    config = load(recipe, overrides or (), limit=limit, languages=chosen, prices=_priced(prices) if prices else None)
    yield Run(config, hub.connect(config.namespace, reading), Screen())


def _priced(path: Path) -> object:
    """The file as it is: what is wrong with it, the recipe says."""
    import yaml

    from pipelines.errors import RecipeError

    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"--prices {path}: {' '.join(str(error).split())}") from None


def _work(run: "Run", stage: str, shard: str | None = None) -> None:
    from pipelines.run import Shard

    mine = replace(run, shard=Shard.parse(shard)) if shard else run
    import_module(f"pipelines.stages.{stage}").run(mine)


def _in_docker(
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


def _between(first: str | None, last: str | None) -> "tuple[Stage, ...]":
    from pipelines.errors import RecipeError
    from pipelines.recipe import STAGES

    for name in filter(None, (first, last)):
        if name not in STAGES:
            raise RecipeError(f"there is no stage {name!r}; the stages are: {', '.join(STAGES)}")
    chosen = STAGES[STAGES.index(first) if first else 0 : (STAGES.index(last) if last else len(STAGES) - 1) + 1]  # pyright: ignore[reportArgumentType]
    if not chosen:
        raise RecipeError(f"--from {first} comes after --to {last}")
    return chosen


def _goodbye(run: "Run") -> None:
    run.screen.say("")
    run.screen.say("What was made, with its cards:")
    for repo in (run.prompts, run.candidates, run.judged, run.chosen, run.results):
        if run.hub.snapshot(repo, "dataset"):
            run.screen.say(f"  {run.hub.address(repo, 'dataset')}")
    if run.hub.snapshot(run.model, "model"):
        run.screen.say(f"  {run.hub.address(run.model, 'model')}")


if __name__ == "__main__":
    main()
