"""Start, watch and stop a serving engine, or use one that runs already; either way the caller gets a door.

    async with engines.serve(run, engine, use) as door: reply = await door.ask(request)

A server is started in a process group of its own, with its log in a file, on a free port of loopback. It gets the
Hub's token through its environment and nothing else of ours. One that dies is started again, and the run goes on; one
of somebody else's is waited for. Before the door opens, `llm.probe` tries what is going to be asked.
"""

import os
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from pipelines.errors import StageError
from pipelines.hub import Hub
from pipelines.llm import Door, Limits, Template
from pipelines.llm.batches import Batches
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.probe import Use, probe
from pipelines.llm.public import BEARS, Public
from pipelines.llm.tgi_door import TGIDoor
from pipelines.llm.wire import Direct, Wire
from pipelines.processes import Remote, Server
from pipelines.recipe import Engine
from pipelines.records import Message
from pipelines.run import Run

SPARE_FILES = 256
"""Open files beside the connections: libraries, logs, the Hub."""


@asynccontextmanager
async def serve(run: Run, engine: Engine, use: Use) -> AsyncIterator[Door]:
    """A door to the engine's model, probed; the server that was started for it is stopped on the way out."""
    _allow_files(engine)
    if engine.url:
        door = _door(engine, engine.url, engine.model, _template(engine, run.hub, None))
        server = Remote(engine, door)
    else:
        revision = run.hub.revision(engine.model, "model", engine.revision)
        port = _free_port()
        command, name = _command(engine, run.hub, revision, port)
        address = f"http://127.0.0.1:{port}"
        door = _door(engine, address, name, _template(engine, run.hub, revision))
        door.revision = revision
        server = Server(engine, door, command, _environment(engine), f"{address}/health")
    try:
        async with server.running(run.screen.say):
            door.mend = server.mend
            door.contract = await probe(door, engine, use)
            run.screen.say(f"{engine.model}: {door.contract.told}")
            if engine.batch and engine.url:
                await door.wire.close()  # the probe's, which had to have its answers at once
                door.wire = Batches(engine.url, _key(engine), run.recipe.name, run.screen.say)
            yield door
    finally:
        await door.close()


def _allow_files(engine: Engine) -> None:
    """Each request in flight is an open file: raise the soft limit, up to the hard one, which only root could."""
    needed = (0 if engine.batch else engine.parallel) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise StageError(
            f"{engine.parallel} requests at a time need {needed} open files, and this machine allows {hard} "
            "(ulimit -Hn): raise that, or lower the engine's `parallel`"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _key(engine: Engine) -> str:
    key = os.environ.get(engine.api_key, "") if engine.api_key else ""
    if engine.api_key and not key:
        raise StageError(f"the environment variable {engine.api_key} is not set: {engine.model} needs its key")
    if not key.isascii() or not key.isprintable():
        raise StageError(f"the environment variable {engine.api_key} holds more than a key, such as a line break")
    return key


def _door(engine: Engine, url: str, name: str, template: Template) -> Door:
    key = _key(engine)
    limits = Limits(engine.parallel, engine.timeout, engine.token_timeout)
    root = url.rstrip("/").removesuffix("/v1")
    if engine.kind == "tgi":
        return TGIDoor(Direct(root, key), name, template, limits)
    address = url if engine.url else f"{root}/v1"
    wire: Wire = Public(address, key) if engine.kind == "openai" and engine.parallel <= BEARS else Direct(address, key)
    return OpenAIDoor(wire, name, template, engine.kind != "openai", limits)


PAGE = 256
"""Tokens of a page of the cache of `transformers serve`."""
SPARE = 0.5
"""It lets no new request in when few of the pages are free."""


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
            # left alone it takes nine tenths of what memory is free, and on a processor reads all of it in every step
            command += ["--cb-num-blocks", str(ceil(engine.parallel * engine.context / PAGE * (1 + SPARE)))]
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
