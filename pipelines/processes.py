"""The server behind a door: a process of ours that is started, watched, started again and stopped, or somebody else's.

Both say with `mend` that the server runs, to a request that did not find it running.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pipelines.errors import StageError
from pipelines.llm import Door
from pipelines.llm.pace import DIED
from pipelines.llm.wire import Fault
from pipelines.recipe import Engine
from pipelines.tether import tethered

READY_WITHIN = 1_800.0
"""Seconds a server may take to load its model: a 70B one from a network disk takes many minutes."""
STOP_WITHIN = 4.0
"""Seconds: `docker stop` gives 10 for everything, and the checkpoint comes first."""
HANG = 60.0
"""Seconds without a sign of life after which a process that still runs is ended."""
DEATHS = 6
"""So many deaths in a row, with no answer between two of them, end the stage: one more than a single sample can cause,
which then is a failure like any other."""
ANSWER_WITHIN = 5.0
"""Seconds for a sign of life."""
BACK_WITHIN = 600.0
"""Seconds that somebody else's server may be away."""
LOOK_EVERY = 2.0

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy of the environment leads to our own server."""

Say = Callable[[str], None]


class Server:
    """A process of ours that serves a model."""

    def __init__(
        self, engine: Engine, door: Door, command: Sequence[str], environment: Mapping[str, str], health: str
    ) -> None:
        self._name = f"the {engine.kind} server for {engine.model}"
        self._door, self._command, self._environment, self._health = door, command, environment, health
        self._process: asyncio.subprocess.Process | None = None
        self._seen = 0.0
        """When it last was known to run (monotonic)."""
        self._deaths = self._answers = 0
        self._away = 0.0
        """When it last was found dead (monotonic)."""
        self._mending = asyncio.Lock()

    @asynccontextmanager
    async def running(self, say: Say) -> AsyncIterator[None]:
        self._say = say
        with tempfile.TemporaryDirectory(prefix="thinkin-server-") as folder:
            self._log = Path(folder, "log")
            self._log.touch()
            told = Path(folder, "health")  # which containers/healthy reads
            try:
                await self._start()
                await asyncio.to_thread(told.write_text, self._health)
                yield
            finally:
                await self._stop()

    async def mend(self, sent: float) -> bool:
        """Start it again if it ended, or does not answer any more; StageError where that leads nowhere."""
        async with self._mending:
            if sent >= self._seen and not await self._ready(HANG):
                await self._restart()
        self._door.pace.release()
        return sent < self._away

    async def _restart(self) -> None:
        self._away = time.monotonic()
        answers = self._door.usage.requests
        self._deaths = self._deaths + 1 if answers == self._answers else 1
        self._answers = answers
        how = f"{self._name} {self._state()}"
        if self._deaths >= DEATHS:
            raise StageError(f"{how}, {DEATHS} times without an answer between: {self._tail()}")
        self._say(f"{how} and is started again: {self._tail()}")
        self._door.pace.cut(time.monotonic(), DIED)
        await self._stop()
        await self._start()

    def _state(self) -> str:
        code = self._process.returncode if self._process else None
        return "does not answer" if code is None else f"ended with code {code}"

    async def _start(self) -> None:
        if not shutil.which(self._command[0]):
            raise StageError(
                f"there is no program {self._command[0]} here: install it, run this stage in its image, or give the "
                "engine a url"
            )
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        if not await self._ready(READY_WITHIN):
            raise StageError(f"{self._name} did not get ready, it {self._state()}: {self._tail()}")

    async def _ready(self, seconds: float) -> bool:
        """Whether it answers before it ends, or the time does."""
        assert self._process
        until = time.monotonic() + seconds
        while self._process.returncode is None and time.monotonic() < until:
            if await self._healthy():
                return True
            await asyncio.sleep(0.2)
        return False

    async def _healthy(self) -> bool:
        asked = time.monotonic()
        if not await asyncio.to_thread(_answers, self._health):
            return False
        self._seen = asked
        return True

    async def _stop(self) -> None:
        """End the whole group: what a launcher started can outlive it, and hold the accelerator's memory."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_WITHIN)
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: int) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):  # none of the group is left
            os.killpg(self._process.pid, number)

    def _tail(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-5:]) or "it wrote no log"


class Remote:
    """A server that somebody else runs, and starts again."""

    def __init__(self, engine: Engine, door: Door) -> None:
        self._name, self._door = f"{engine.model} at {engine.url}", door
        self._seen = self._away = 0.0
        self._mending = asyncio.Lock()

    @asynccontextmanager
    async def running(self, say: Say) -> AsyncIterator[None]:
        self._say = say
        yield

    async def mend(self, sent: float) -> bool:
        """Wait until it answers again; StageError where it stays away."""
        async with self._mending:
            if sent >= self._seen and not await self._answers():
                await self._wait()
        self._door.pace.release()
        return sent < self._away

    async def _wait(self) -> None:
        self._away = time.monotonic()
        self._say(f"{self._name} does not answer; waiting for it")
        self._door.pace.cut(self._away, DIED)
        while not await self._answers():
            if time.monotonic() > self._away + BACK_WITHIN:
                raise StageError(
                    f"{self._name} has not answered for {BACK_WITHIN / 60:.0f} minutes: run it again once it is back"
                )
            await asyncio.sleep(LOOK_EVERY)

    async def _answers(self) -> bool:
        asked = time.monotonic()
        try:
            await self._door.offer()
        except Fault as fault:
            if not fault.reason.startswith("http-4"):  # which says that it is there, and has no list of models
                return False
        self._seen = asked
        return True


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=ANSWER_WITHIN) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
