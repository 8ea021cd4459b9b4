"""The embedded Hub as a process: in the foreground, or left running in the background for as long as it is wanted."""

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import typer

from pipelines.errors import StageError

READY_WITHIN = 30.0


def serve(data: Path, host: str, port: int, token: str | None, user: str) -> None:
    from pipelines import localhub

    if token is None and not (data / "hub.sqlite").exists():
        token = f"hf_{secrets.token_hex(20)}"
        typer.echo(f"a token that may write, shown once: HF_TOKEN={token}")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)

    def ready(address: str) -> None:
        (data / "pid").write_text(f"{os.getpid()} {address}")
        typer.echo(f"the Hub is at {address} (HF_ENDPOINT={address})")

    try:
        localhub.serve(data, host, port, token, user, on_ready=ready)
    except (OSError, RuntimeError, ValueError, sqlite3.Error) as error:
        raise StageError(f"the Hub cannot start at {host}:{port} in {data}: {error}") from None
    finally:
        running = _running(data)
        if running and running[0] == os.getpid():
            (data / "pid").unlink()


def start(data: Path, host: str, port: int, token: str | None, user: str) -> None:
    if running := _running(data):
        typer.echo(f"the Hub is already running at {running[1]}")
        return
    if token is None:
        raise StageError("set HF_TOKEN to a token of your choice first: the Hub lets it write")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "pipelines", "hub", "--data", str(data), "--host", host, "--port", str(port)]
    with (data / "log.txt").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [*command, "--user", user],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "HF_TOKEN": token},
        )
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if running := _running(data):
            typer.echo(f"the Hub is at {running[1]}; stop it with: python -m pipelines hub --stop --data {data}")
            return
        time.sleep(0.1)
    lines = (data / "log.txt").read_text(errors="replace").strip().splitlines()
    raise StageError(f"the Hub did not start: {lines[-1] if lines else 'it wrote no log'}")


def stop(data: Path) -> None:
    from pipelines import localhub

    running = _running(data)
    if not running:
        typer.echo("no Hub is running there")
        return
    os.kill(running[0], signal.SIGTERM)
    deadline = time.monotonic() + READY_WITHIN
    while localhub.is_served(data):  # it answers no more before it gives the folder back
        if time.monotonic() > deadline:
            raise StageError(f"the Hub (process {running[0]}) did not stop in {READY_WITHIN:.0f} s")
        time.sleep(0.1)
    typer.echo("the Hub is stopped")


def _running(data: Path) -> tuple[int, str] | None:
    """Process and address of the Hub that serves this folder, if it answers."""
    try:
        process, address = (data / "pid").read_text().split()
        os.kill(int(process), 0)
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - the address that the Hub itself wrote
            return int(process), address
    except (FileNotFoundError, ValueError, ProcessLookupError, urllib.error.URLError, TimeoutError):
        return None
