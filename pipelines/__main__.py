"""The command line. `python -m pipelines --help` must stay fast, so whatever is heavy is imported inside a command."""

import os
import signal
import sys

import typer
import typer.exceptions

from pipelines.commands import github, hub, launch, look, work
from pipelines.errors import Problem

app = typer.Typer(
    help="Reasoning models that think in your language, stage by stage over the Hugging Face Hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (work, launch, look):
    app.add_typer(commands.app)
app.add_typer(hub.app, name="hub")
app.add_typer(github.app, name="github")

INTERRUPTED = 130
"""The exit code of a shell for Ctrl-C; typer returns it, too."""


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


if __name__ == "__main__":
    main()
