"""Run a command, and end it when the process that wanted it is gone.

    python -m pipelines.tether PID COMMAND...

So that a stage that was killed (kill -9, out of memory) leaves no server or training behind that holds the port and
the accelerator's memory. The command and all that it starts share our process group; its exit code is ours. PID is
watched rather than asked of the kernel (PR_SET_PDEATHSIG), which would take the end of the thread that started us for
the end of the process, and would end the command alone.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

LOOK_EVERY = 0.5
PASSED_OVER = (signal.SIGTERM, signal.SIGINT)


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` for as long as this process lives; to be started in a session of its own."""
    return [sys.executable, "-m", "pipelines.tether", str(os.getpid()), *command]


def follow(parent: int) -> None:
    """End this process, a child of `parent` that no command line can be put in front of, when that is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    wanted_by, command = int(sys.argv[1]), sys.argv[2:]
    for number in PASSED_OVER:
        # whoever sends them sends them to the group; a handler, since a signal that is ignored stays so in the command
        signal.signal(number, lambda *_: None)
    child = subprocess.Popen(command)  # noqa: S603 - what `engines` or *train* put together
    while (code := _ended(child)) is None:
        if os.getppid() != wanted_by:
            os.killpg(0, signal.SIGKILL)
    if code < 0:
        for number in PASSED_OVER:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _ended(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(LOOK_EVERY)
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    main()
