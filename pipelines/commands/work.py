"""The commands that work: one per stage, all of them, and what has to be on the Hub before."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.commands.launch import in_docker
from pipelines.commands.options import (
    SHARDED,
    BuildArguments,
    FromStage,
    Gpus,
    Languages,
    Limit,
    Memory,
    Overrides,
    PricesFile,
    RecipeName,
    ShardOption,
    ToStage,
    between,
    started,
)

if TYPE_CHECKING:
    from pipelines.recipe import Stage
    from pipelines.run import Run

app = typer.Typer()


def _stage_command(name: "Stage", help_text: str) -> Callable[..., None]:
    def command(
        recipe: RecipeName,
        set_: Overrides = None,
        limit: Limit = None,
        languages: Languages = None,
        prices: PricesFile = None,
    ) -> None:
        with started(recipe, set_, limit, languages, prices=prices) as run:
            _work(run, name)

    def shard_command(
        recipe: RecipeName,
        set_: Overrides = None,
        limit: Limit = None,
        languages: Languages = None,
        prices: PricesFile = None,
        shard: ShardOption = None,
    ) -> None:
        with started(recipe, set_, limit, languages, prices=prices) as run:
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
    "reinforce": "Reinforce the trained model: writes NAME-STUDENT-reinforced and NAME-rollouts.",
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
    from_: FromStage = None,
    to: ToStage = None,
    in_: Annotated[
        Literal["docker"] | None, typer.Option("--in", help="Each stage in a container of its own, on this machine.")
    ] = None,
    build_arg: BuildArguments = None,
    gpus: Gpus = None,
    memory: Memory = None,
) -> None:
    """Run all stages of a recipe, one after the other; what is done already is not done again."""
    with started(recipe, set_, limit, languages, prices=prices) as run:
        from pipelines import imports

        stages = between(from_, to, run.recipe)

        imports.ensure(run.hub, run.recipe.imports, run.screen)
        for stage in stages:
            if in_ == "docker":
                in_docker(run, stage, None, build_arg, gpus, memory)
            else:
                _work(run, stage)
        _goodbye(run)


@app.command("import")
def import_command(recipe: RecipeName, set_: Overrides = None) -> None:
    """Put the models that a recipe imports on the Hub, where they are not there yet."""
    with started(recipe, set_, None, None) as run:
        from pipelines import imports

        imports.ensure(run.hub, run.recipe.imports, run.screen)


def _work(run: "Run", stage: str, shard: str | None = None) -> None:
    from pipelines.run import Shard

    mine = replace(run, shard=Shard.parse(shard)) if shard else run
    import_module(f"pipelines.stages.{stage}").run(mine)


def _goodbye(run: "Run") -> None:
    run.screen.say("")
    run.screen.say("What was made, with its cards:")
    for repo in (run.prompts, run.candidates, run.judged, run.chosen, run.rollouts, run.results):
        if run.hub.snapshot(repo, "dataset"):
            run.screen.say(f"  {run.hub.address(repo, 'dataset')}")
    for repo in (run.model, run.reinforced):
        if run.hub.snapshot(repo, "model"):
            run.screen.say(f"  {run.hub.address(repo, 'model')}")
