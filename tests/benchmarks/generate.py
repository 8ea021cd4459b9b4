"""How close *generate* comes to what its server could do, and what a request costs, beside other clients.

    python tests/benchmarks/generate.py [--rounds 5] [--clients stage,door] [--settings 1024x0.2,4096x4]

A mock server in a process of its own answers each request with 4 kB of a chain after a log-normal delay (sigma 0.5),
and counts how many requests it holds. Share: the mean number it held between the first request and the last, of the
number that should be in flight; by Little's law this is the share of the rate that its delays allow. CPU: processor
seconds of the client's process per 1,000 requests, imports not counted. Memory: growth of its resident set, at its
peak; of `stage` much of that is what a checkpoint takes, so what a request in flight takes is told by the difference
between two settings (64x0.02 as the small one).
Where other programs are at work, share and CPU suffer: compare the lines of one run, with `sockets` as the measure.

    stage            *generate* as a whole: prompts from an embedded Hub, chains taken apart, journal, checkpoints
    door             `pipelines.llm` alone, as *generate* uses it
    public           `pipelines.llm` through openai's client, as judges of a remote API use it
    openai, huggingface_hub   the public clients by themselves, with their limits of connections raised
    aiohttp          the same answers through aiohttp alone
    sockets          nothing but asyncio's streams: what no client can be below

Each line is a run of its own in a fresh process. Wants an open-file limit above the requests in flight.
"""

import argparse
import asyncio
import json
import math
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

SIGMA = 0.5
SETTINGS = ((256, 0.2), (1024, 0.2), (4096, 4.0))
"""Requests in flight and the mean delay in seconds."""
CLIENTS = ("sockets", "door", "stage", "aiohttp", "public", "openai", "huggingface_hub")
PATIENCE = 240
"""Seconds for one line."""

# --- the mock server


class Mock(asyncio.Protocol):
    """As little HTTP as it takes, so that the server does not take the processor that is measured."""

    delay, held, area, changed, first, last, area_at_last, answered = 1.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
    draw = random.Random(1)  # noqa: S311 - delays of a mock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        size = re.search(rb"(?i)content-length: *(\d+)", head)
        if len(body) < (int(size[1]) if size else 0):
            return
        self.data = b""
        if head.startswith(b"GET"):
            self._get(head)
        else:
            self._post(body)

    def _get(self, head: bytes) -> None:
        cls = type(self)
        if b"/stats" in head:
            span = cls.last - cls.first
            told: Any = {"held": cls.area_at_last / span if span else 0.0, "answered": cls.answered, "seconds": span}
        elif found := re.search(rb"/delay/([\d.]+)", head):
            cls.delay, cls.area, cls.changed, cls.first, cls.last, cls.answered = float(found[1]), 0.0, 0.0, 0.0, 0.0, 0
            told = {}
        else:
            told = {"data": [{"id": "mock", "max_model_len": 32_768}]}
        self._send(json.dumps(told).encode())

    def _post(self, body: bytes) -> None:
        cls = type(self)
        seed = re.search(rb'"seed": ?(\d+)', body)
        answer = ANSWER.replace(b"SEED", seed[1] if seed else b"0")
        if b"Invent a short story" in body:
            self._send(answer)
            return
        cls._moved(1)
        cls.first, cls.last = cls.first or cls.changed, cls.changed
        cls.area_at_last = cls.area
        delay = cls.draw.lognormvariate(math.log(cls.delay) - SIGMA**2 / 2, SIGMA)
        asyncio.get_running_loop().call_later(delay, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        type(self)._moved(-1)
        type(self).answered += 1
        self._send(answer)

    @classmethod
    def _moved(cls, by: int) -> None:
        now = time.monotonic()
        cls.area += cls.held * (now - cls.changed)
        cls.held, cls.changed = cls.held + by, now

    def _send(self, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


WORDS = "сначала потом значит если число делится остаток сумма проверим получим"


def chain(size: int = 4_000) -> str:
    """Text whose sentences do not repeat, so that it is no loop."""
    draw, words = random.Random(2), WORDS.split()  # noqa: S311 - text of a mock
    text = "Запрос SEED. "
    while len(text.encode()) < size:
        text += f"{' '.join(draw.sample(words, 6))} {draw.randrange(1000)}. "
    return f"<think>\n{text}\n</think>\n\nОтвет: 12"


ANSWER = json.dumps(
    {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": chain()}}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 1000, "total_tokens": 1060},
    },
    ensure_ascii=False,
).encode()


async def mock(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


# --- the clients, each in a process of its own

Ask = Callable[[int], Awaitable[Any]]
QUESTION = "Сколько будет 2 + 2? Решите задачу шаг за шагом. " * 4


async def in_flight(ask: Ask, parallel: int, requests: int) -> None:
    numbers = iter(range(requests))

    async def work() -> None:
        for number in numbers:
            await ask(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(work())


async def door(url: str, parallel: int, requests: int, public: bool) -> None:
    from pipelines.llm import Limits, Request
    from pipelines.llm.openai_door import OpenAIDoor
    from pipelines.llm.public import Public
    from pipelines.llm.wire import Direct
    from pipelines.recipe import Sampling
    from pipelines.records import Message

    wire = Public(url, "key") if public else Direct(url, "key")
    opened = OpenAIDoor(wire, "mock", lambda _: "", True, Limits(parallel))
    messages = (Message(role="user", content=QUESTION),)
    await in_flight(lambda number: opened.ask(Request(messages, Sampling(), number)), parallel, requests)
    await opened.close()


async def sockets(url: str, parallel: int, requests: int) -> None:
    host, port = url.split("/")[2].split(":")
    idle = list[Any]()

    async def ask(number: int) -> Any:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
        body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "seed": number}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = json.loads(await reader.readexactly(int(head.rsplit(b":", 1)[1])))
        idle.append((reader, writer))
        return answer

    await in_flight(ask, parallel, requests)


async def aiohttp_client(url: str, parallel: int, requests: int) -> None:
    import aiohttp
    from pydantic_core import from_json, to_json

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> Any:
            body = to_json({"messages": [{"role": "user", "content": QUESTION}], "seed": number})
            async with session.post(f"{url}/chat/completions", data=body) as response:
                return from_json(await response.read())

        await in_flight(ask, parallel, requests)


async def openai_client(url: str, parallel: int, requests: int) -> None:
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=parallel, max_keepalive_connections=parallel)
    client = openai.AsyncOpenAI(
        base_url=url, api_key="key", http_client=openai.DefaultAsyncHttpxClient(limits=limits), timeout=600
    )
    await in_flight(
        lambda number: client.chat.completions.create(
            model="mock", messages=[{"role": "user", "content": QUESTION}], seed=number, max_tokens=4096
        ),
        parallel,
        requests,
    )


async def hub_client(url: str, parallel: int, requests: int) -> None:
    import httpx2
    from huggingface_hub import AsyncInferenceClient, set_async_client_factory

    limits = httpx2.Limits(max_connections=parallel, max_keepalive_connections=parallel)
    set_async_client_factory(lambda: httpx2.AsyncClient(limits=limits, timeout=600))
    client = AsyncInferenceClient(base_url=url.removesuffix("/v1"), timeout=600)
    await in_flight(
        lambda number: client.chat_completion([{"role": "user", "content": QUESTION}], seed=number, max_tokens=4096),
        parallel,
        requests,
    )


def stage(url: str, parallel: int, requests: int) -> None:
    """*prompts* and *generate*; what it costs is counted from the second on."""
    import matplotlib.figure  # noqa: F401 - for the plots of the last commit, not counted
    from rich.console import Console

    from pipelines import hub, problems
    from pipelines.recipe import Recipe
    from pipelines.run import Run
    from pipelines.screen import Screen
    from pipelines.stages import generate, prompts

    source = {"kind": "problems", "families": list(problems.FAMILIES), "rows": requests // SAMPLES}
    whole = Recipe.model_validate(
        {
            "name": f"bench-{time.time_ns()}",
            "languages": ["ru"],
            "engines": {"mock": {"kind": "vllm", "model": "mock", "url": url, "parallel": parallel}},
            "prompts": {"sources": [source]},
            "generate": {"engine": "mock", "samples": SAMPLES, "instruction": "plain.v1"},
            "train": {"student": "a/b"},
            "evaluate": {
                "engine": "mock",
                "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": source}],
            },
        }
    )
    run = Run(whole, hub.connect(None), Screen(Console(quiet=True)))
    prompts.run(run)
    begin()
    generate.run(run)


SAMPLES = 8
BEGAN: list[float] = []


def begin() -> None:
    """Count what comes from here on."""
    BEGAN[:] = [time.process_time(), resident("VmRSS")]


def resident(what: str) -> float:
    """Bytes of memory, now (VmRSS) or at the most (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def client(name: str, url: str, parallel: int, requests: int) -> None:
    """One run of one client; prints what it cost."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name == "stage":
        stage(url, parallel, requests)
    else:
        run = {
            "sockets": lambda: sockets(url, parallel, requests),
            "door": lambda: door(url, parallel, requests, public=False),
            "public": lambda: door(url, parallel, requests, public=True),
            "aiohttp": lambda: aiohttp_client(url, parallel, requests),
            "openai": lambda: openai_client(url, parallel, requests),
            "huggingface_hub": lambda: hub_client(url, parallel, requests),
        }[name]
        loop = uvloop.run if name == "door" else asyncio.run  # as *generate* does
        loop(counted(run))
    processor, memory = BEGAN
    print(json.dumps({"cpu": time.process_time() - processor, "memory": resident("VmHWM") - memory}))


async def counted(run: Callable[[], Awaitable[None]]) -> None:
    import huggingface_hub.inference._client
    import openai.resources.chat  # noqa: F401 - not counted

    import pipelines.llm.openai_door  # noqa: F401

    assert huggingface_hub.inference._client
    begin()
    await run()


# --- the benchmark


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url: str) -> Any:
    for _ in range(200):
        with suppress(OSError), urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())
        time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="requests for each one in flight")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--settings", default=",".join(f"{number}x{delay}" for number, delay in SETTINGS))
    parser.add_argument("--mock", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mock:
        asyncio.run(mock(options.mock))
    if options.client:
        name, url, parallel, requests = options.client
        client(name, url, int(parallel), int(requests))
        return
    with tempfile.TemporaryDirectory() as folder:
        ports = free_port(), free_port()
        hub = f"http://127.0.0.1:{ports[1]}"
        os.environ.update(
            HF_ENDPOINT=hub, HF_TOKEN="hf_benchmark", HF_HOME=f"{folder}/hf", HF_UPDATE_DOWNLOAD_COUNTS="0",
            HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", THINKIN_CACHE=f"{folder}/cache",
        )  # fmt: skip
        servers = [
            subprocess.Popen([sys.executable, __file__, "--mock", str(ports[0])], cwd=ROOT),
            subprocess.Popen(
                [sys.executable, "-m", "pipelines", "hub", "--data", f"{folder}/hub", "--port", str(ports[1])],
                cwd=ROOT, stdout=subprocess.DEVNULL,
            ),
        ]  # fmt: skip
        try:
            get(f"{hub}/api/models")
            compared(options, f"http://127.0.0.1:{ports[0]}")
        finally:
            for server in servers:
                server.terminate()
                server.wait()


def compared(options: argparse.Namespace, address: str) -> None:
    print(f"{'client':16} {'in flight':>9} {'delay':>6} {'requests':>8} {'share':>6} {'CPU s/1000':>10} {'MB':>6}")
    for setting in options.settings.split(","):
        parallel, delay = setting.split("x")
        for name in options.clients.split(","):
            requests = int(parallel) * max(options.rounds, round(4 / float(delay)))
            get(f"{address}/delay/{delay}")
            command = [sys.executable, __file__, "--client", name, f"{address}/v1", parallel, str(requests)]
            label = f"{name:16} {parallel:>9} {delay:>5}s {requests:>8}"
            try:
                ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
            except subprocess.SubprocessError as error:
                print(f"{label} {type(error).__name__}", flush=True)
                continue
            cost, told = json.loads(ended.stdout.splitlines()[-1]), get(f"{address}/stats")
            assert told["answered"] == requests, told
            share, each = told["held"] / int(parallel), 1000 * cost["cpu"] / requests
            print(f"{label} {share:>6.1%} {each:>10.3f} {cost['memory'] / 1e6:>6.0f}", flush=True)


if __name__ == "__main__":
    main()
