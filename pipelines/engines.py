"""Start, watch and stop a serving engine, or use one that runs already; either way the caller gets a door.

    async with engines.serve(engine, hub) as door: reply = await door.ask(request)

A server is started in a process group of its own, with its log in a file, on a free port of loopback. It gets the
Hub's token through its environment and nothing else of ours.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.errors import StageError
from pipelines.hub import Hub
from pipelines.llm import Door, Template
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.tgi_door import TGIDoor
from pipelines.recipe import Engine
from pipelines.records import Message

READY_WITHIN = 1_800.0
"""Seconds a server may take to load its model: a 70B one from a network disk takes many minutes."""
STOP_WITHIN = 4.0
"""Seconds: `docker stop` gives 10 for everything, and the checkpoint comes first."""


@asynccontextmanager
async def serve(engine: Engine, hub: Hub) -> AsyncIterator[Door]:
    """A door to the engine's model; the server that was started for it is stopped on the way out."""
    if engine.url:
        door = _door(engine, engine.url, engine.model, _template(engine, hub, None))
        try:
            yield door
        finally:
            await door.close()
        return
    revision = hub.revision(engine.model, "model", engine.revision)
    with tempfile.NamedTemporaryFile("r", prefix=f"{engine.kind}-", suffix=".log", errors="replace") as log:
        port = _free_port()
        command, name = _command(engine, hub, revision, port)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log.fileno(),
            stderr=log.fileno(),
            start_new_session=True,
            env=_environment(engine),
        )
        try:
            address = f"http://127.0.0.1:{port}"
            await _ready(process, address, Path(log.name), engine)
            # TGI's client adds /v1 by itself
            url = address if engine.kind == "tgi" else f"{address}/v1"
            door = _door(engine, url, name, _template(engine, hub, revision))
            door.revision = revision
            try:
                yield door
            finally:
                await door.close()
        finally:
            await _stop(process)


def _door(engine: Engine, url: str, name: str, template: Template) -> Door:
    key = os.environ.get(engine.api_key, "") if engine.api_key else ""
    if engine.api_key and not key:
        raise StageError(f"the environment variable {engine.api_key} is not set: {engine.model} needs its key")
    if engine.kind == "tgi":
        return TGIDoor(url, name, template, key)
    return OpenAIDoor(url, name, template, key or "none", extensions=engine.kind != "openai")


def _command(engine: Engine, hub: Hub, revision: str, port: int) -> tuple[list[str], str]:
    """The server's command line, and the name it gives to the model."""
    name = engine.model
    match engine.kind:
        case "llamacpp":
            path = hub.file(engine.model, "model", revision, engine.file or "")
            command = [sys.executable, "-m", "pipelines.servers.llamacpp", "--model", path, "--alias", name]
            command += ["--port", str(port), "--parallel", str(engine.parallel), "--context", str(engine.context)]
        case "batched":
            folder = str(hub.folder(engine.model, "model", revision, ignore=["*.gguf"]))
            command = [sys.executable, "-m", "pipelines.servers.batched", "--model", folder, "--alias", name]
            command += ["--port", str(port), "--context", str(engine.context)]
        case "transformers":
            name = str(hub.folder(engine.model, "model", revision, ignore=["*.gguf"]))
            command = [str(Path(sys.executable).parent / "transformers"), "serve", name, "--continuous-batching"]
            command += ["--port", str(port), "--host", "127.0.0.1"]
        case "vllm":
            command = ["vllm", "serve", engine.model, "--revision", revision, "--port", str(port)]
            command += ["--max-model-len", str(engine.context)]
        case "tgi":
            command = ["text-generation-launcher", "--model-id", engine.model, "--revision", revision]
            command += ["--port", str(port), "--max-total-tokens", str(engine.context)]
            command += ["--max-concurrent-requests", str(engine.parallel)]
        case "openai":
            raise StageError(f"{engine.model}: an engine of kind openai needs a url")
    for option, value in engine.arguments.items():
        command += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return command, name


def _environment(engine: Engine) -> dict[str, str]:
    environment = dict(os.environ)
    if engine.kind == "transformers":
        environment["HF_HUB_OFFLINE"] = "1"  # it is given a folder, and must not look for it on the Hub
    return environment


async def _ready(process: asyncio.subprocess.Process, address: str, log: Path, engine: Engine) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.returncode is not None:
            raise StageError(
                f"the {engine.kind} server for {engine.model} stopped with code {process.returncode}: {_tail(log)}"
            )
        if await asyncio.to_thread(_healthy, f"{address}/health"):
            return
        await asyncio.sleep(0.2)
    raise StageError(f"the {engine.kind} server for {engine.model} was not ready in {READY_WITHIN:.0f} s: {_tail(log)}")


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_WITHIN)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-5:]) or "it wrote no log"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _template(engine: Engine, hub: Hub, revision: str | None) -> Template:
    """Rendering with the model's own tokenizer, loaded from the Hub only when a request needs it."""

    @cache
    def tokenizer() -> Any:
        from transformers import AutoTokenizer

        pinned = revision or hub.revision(engine.model, "model", engine.revision)
        if engine.file:
            path = Path(hub.file(engine.model, "model", pinned, engine.file))
            return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        patterns = ["*.safetensors", "*.bin", "*.gguf", "*.pt", "*.pth"]
        return AutoTokenizer.from_pretrained(hub.folder(engine.model, "model", pinned, ignore=patterns))

    def render(messages: tuple[Message, ...]) -> str:
        turns = [message.model_dump() for message in messages]
        text: str = tokenizer().apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        first = tokenizer().bos_token
        # a server puts the first token before a raw prompt by itself: twice is once too often
        return (
            text.removeprefix(first) if first and tokenizer()("").input_ids[:1] == [tokenizer().bos_token_id] else text
        )

    return render
