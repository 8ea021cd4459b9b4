"""The embedded Hub: serve it, and look after its folder."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True)

HubData = Annotated[Path, typer.Option(help="The folder that holds everything.")]
HUB_DATA = Path(".thinkin/hub")


@app.callback()
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


@app.command("verify")
def hub_verify_command(data: HubData = HUB_DATA) -> None:
    """Read everything in the folder again and say what is damaged; the Hub may be running."""
    from pipelines import upkeep

    upkeep.verify(data)


@app.command("gc")
def hub_gc_command(data: HubData = HUB_DATA) -> None:
    """Give the room back that deleted repos, squashed histories and abandoned uploads hold; the Hub must be stopped."""
    from pipelines import upkeep

    upkeep.collect_garbage(data)


@app.command("export")
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
