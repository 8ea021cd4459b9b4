"""How the stages *train* and *reinforce* start the training processes, and what they hear from them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import StageError
from pipelines.recipe import Launched, Stage
from pipelines.tether import tethered

ROOT = Path(__file__).parents[2]
PORT = 29500
"""Where the first machine awaits the others, unless MASTER_PORT says otherwise."""

_ERROR = re.compile(r"^(?:\[\w+\]:\s*)?([\w.]*(?:Error|Exception|Interrupt)\b.*)")
_LAUNCHER = ("ChildFailedError", "CalledProcessError", "RuntimeError: Subprocess")


@dataclass(frozen=True, slots=True)
class Place:
    """This machine among those that train together, told by the names that torchrun and its operators use."""

    rank: int = 0
    address: str = "127.0.0.1"
    port: int = PORT

    @property
    def first(self) -> bool:
        """Whether it is the one that publishes."""
        return self.rank == 0


def place(machines: int, environment: Mapping[str, str] = os.environ, stage: Stage = "train") -> Place:
    if machines == 1:
        return Place()
    rank, address = environment.get("NODE_RANK", ""), environment.get("MASTER_ADDR")
    if not address or not rank.isdecimal() or int(rank) >= machines:
        raise StageError(
            f"{stage}.machines is {machines}: set NODE_RANK on each of them (0 to {machines - 1}) and MASTER_ADDR to "
            "the address of the one whose NODE_RANK is 0"
        )
    return Place(int(rank), address, int(environment.get("MASTER_PORT", PORT)))


def one_disk(recipe: Launched) -> bool:
    """Whether the first machine has all of a checkpoint: ZeRO leaves each machine a part of the optimizer."""
    return recipe.machines == 1 or recipe.accelerate != "zero3"


def command(recipe: Launched, job: Path, here: Place) -> list[str]:
    """How the training process is started: as it is, or under accelerate with one of the shipped configs."""
    if recipe.accelerate == "single":
        return [sys.executable, "-m", "pipelines.training", str(job)]
    config = ROOT / "pipelines" / "accelerate" / f"{recipe.accelerate}.yaml"
    options = {"--config_file": config, "--num_processes": recipe.processes * recipe.machines}
    if recipe.machines > 1:
        options |= {"--num_machines": recipe.machines, "--machine_rank": here.rank}
        options |= {"--main_process_ip": here.address, "--main_process_port": here.port}
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "accelerate.commands.launch", *words, "-m", "pipelines.training", str(job)]


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, with what it logs in a file; it does not outlive the block."""
    with (
        log.open("w") as errors,
        subprocess.Popen(  # noqa: S603
            tethered(command), stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        except BaseException:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGTERM)
            raise


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What the process tells; a line that is no event was printed by a library."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            yield event


def reason(code: int, log: str) -> str:
    """Why the process ended, in a line: the last error in its log that is not the launcher's own."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.match(line)) and not any(x in line for x in _LAUNCHER)]
    if errors:
        return errors[-1][:500]
    if code < 0:
        killed = signal.Signals(-code).name
        return f"it was ended by {killed}" + (", most likely for want of memory" if killed == "SIGKILL" else "")
    return f"exit code {code}; the log ends: {' / '.join(lines[-3:])[-500:]}"
