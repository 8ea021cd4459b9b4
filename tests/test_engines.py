"""Servers that die, hang, go away or are not there: what `engines` does about it, with real processes on loopback."""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines import engines, processes
from pipelines.errors import SampleError, StageError
from pipelines.llm import Door, Limits, Request, retries
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.probe import Use
from pipelines.llm.wire import Direct
from pipelines.processes import Server
from pipelines.recipe import Engine, Sampling
from pipelines.records import Message
from pipelines.run import Run
from pipelines.screen import Screen
from tests.llm_server import Script, serving
from tests.mortal_server import POISON

ROOT = Path(__file__).parent.parent
SAMPLING = Sampling(max_tokens=9)
LLAMA = Engine(kind="llamacpp", model="m", file="f")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(processes, "LOOK_EVERY", 0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def command(port: int) -> list[str]:
    return [sys.executable, "-S", str(ROOT / "tests/mortal_server.py"), str(port)]


def template(messages: tuple[Message, ...]) -> str:
    return messages[-1].content


def question(text: str) -> Request:
    return Request((Message(role="user", content=text),), SAMPLING, seed=1)


@asynccontextmanager
async def served(said: list[str], *program: str, parallel: int = 8) -> AsyncIterator[tuple[Door, Server]]:
    """A door to a process of its own."""
    port = free_port()
    door = OpenAIDoor(Direct(f"http://127.0.0.1:{port}/v1", ""), "m", template, True, Limits(parallel=parallel))
    whole = list(program) or command(port)
    server = Server(LLAMA, door, whole, dict(os.environ), f"http://127.0.0.1:{port}/health")
    try:
        async with server.running(said.append):
            door.mend = server.mend
            yield door, server
    finally:
        await door.close()


def process_of(server: Server) -> asyncio.subprocess.Process:
    assert server._process
    return server._process


def test_a_server_that_is_killed_is_started_again_and_no_sample_is_lost() -> None:
    said = list[str]()

    async def run() -> list[str]:
        async with served(said) as (door, server):
            waiting = [asyncio.create_task(door.ask(question(f"number {number}"))) for number in range(40)]
            await waiting[0]
            os.killpg(process_of(server).pid, signal.SIGKILL)
            replies = await asyncio.gather(*waiting)
            assert door.usage.requests == 40
            return [reply.text for reply in replies]

    assert len(asyncio.run(run())) == 40
    (line,) = said
    assert "ended with code -9 and is started again" in line


def test_a_sample_that_kills_the_server_every_time_is_a_failure_and_the_others_are_answered() -> None:
    async def run() -> list[object]:
        async with served([], parallel=4) as (door, _):
            texts = [POISON, *(f"number {number}" for number in range(8))]
            return list(await asyncio.gather(*(door.ask(question(text)) for text in texts), return_exceptions=True))

    poisoned, *others = asyncio.run(run())
    assert isinstance(poisoned, SampleError)
    assert poisoned.reason == "connection"
    assert str(poisoned).count("after") == poisoned.attempts > 1
    assert not [other for other in others if isinstance(other, BaseException)]


def test_a_server_that_dies_again_and_again_ends_the_stage_with_the_end_of_its_log() -> None:
    async def run() -> None:
        async with served([], parallel=1) as (door, _):
            for _ in range(3):
                with pytest.raises(SampleError):
                    await door.ask(question(POISON))

    with pytest.raises(StageError, match="ended with code 9, 6 times without an answer between"):
        asyncio.run(run())


def test_a_server_that_does_not_answer_any_more_is_ended_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "HANG", 0.5)
    monkeypatch.setattr(processes, "STOP_WITHIN", 0.1)
    monkeypatch.setattr(processes, "ANSWER_WITHIN", 0.2)
    said = list[str]()

    async def run() -> None:
        async with served(said) as (door, server):
            first = process_of(server).pid
            os.killpg(first, signal.SIGSTOP)
            await server.mend(float("inf"))
            assert process_of(server).pid != first
            await door.ask(question("still there?"))

    asyncio.run(run())
    assert "does not answer and is started again" in said[0]


def test_a_request_that_a_healthy_server_lost_restarts_nothing() -> None:
    said = list[str]()

    async def run() -> None:
        async with served(said) as (_, server):
            first = process_of(server).pid
            await server.mend(float("inf"))
            assert process_of(server).pid == first

    asyncio.run(run())
    assert said == []


def test_what_a_server_started_ends_with_it() -> None:
    async def run() -> int:
        port = free_port()
        script = f"import subprocess, sys; subprocess.Popen({command(port)!r}); sys.exit(0)"
        starter = [sys.executable, "-c", script]
        with pytest.raises(StageError, match="ended with code 0"):
            async with served([], *starter):
                pass
        return port

    port = asyncio.run(run())
    assert not processes._answers(f"http://127.0.0.1:{port}/health")


def test_a_program_that_is_not_installed_is_one_line() -> None:
    async def run() -> None:
        async with served([], "no-such-program"):
            pass

    with pytest.raises(StageError, match="there is no program no-such-program here"):
        asyncio.run(run())


# --- servers of somebody else


class Heard(Screen):
    """A screen that tells a test when something was said."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.lines, self.waiting = list[str](), asyncio.Event()

    def say(self, text: str) -> None:
        self.lines.append(text)
        if "waiting for it" in text:
            self.waiting.set()


def remote(url: str, screen: Screen, **changed: Any) -> Any:
    engine = Engine(**{"kind": "vllm", "model": "m", "url": url, **changed})
    run = Run(None, None, screen)  # pyright: ignore[reportArgumentType] - neither is looked at
    return engines.serve(run, engine, Use(SAMPLING))


def test_a_server_of_somebody_else_that_comes_back_is_waited_for() -> None:
    port = free_port()

    async def run() -> None:
        screen = Heard()
        with serving(Script(), port) as url:
            door = await (context := remote(url, screen)).__aenter__()
        try:
            asking = asyncio.create_task(door.ask(question("are you back?")))
            await screen.waiting.wait()
            assert not asking.done()
            with serving(Script(), port):
                await asking
        finally:
            await context.__aexit__(None, None, None)

    asyncio.run(run())


def test_a_server_of_somebody_else_that_stays_away_ends_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "BACK_WITHIN", 0.1)

    async def run() -> None:
        with serving(Script()) as url:
            door = await (context := remote(url, Heard())).__aenter__()
        try:
            await door.ask(question("are you back?"))
        finally:
            await context.__aexit__(None, None, None)

    with pytest.raises(StageError, match="run it again once it is back"):
        asyncio.run(run())


def test_what_the_probe_found_is_told_to_the_person_and_kept_at_the_door() -> None:
    async def run(url: str) -> list[str]:
        async with remote(url, screen := Heard()) as door:
            assert door.contract.model == "m"
        return screen.lines

    with serving(Script()) as url:
        assert asyncio.run(run(url)) == ["m: one choice per request"]


# --- open files


def test_more_requests_at_a_time_than_files_may_be_open_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))

    async def run() -> None:
        async with remote("http://127.0.0.1:1/v1", Heard(), parallel=4096):
            pass

    with pytest.raises(StageError, match=r"need 4352 open files, and this machine allows 1024 \(ulimit -Hn\)"):
        asyncio.run(run())


def test_the_soft_limit_of_open_files_is_raised_as_far_as_it_is_needed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    try:
        engines._allow_files(Engine(kind="vllm", model="m", parallel=100))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (356, before[1])
        engines._allow_files(Engine(kind="vllm", model="m", parallel=8))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (356, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
