"""An OpenAI-compatible server on loopback with a scripted model behind it, that can be told to misbehave.

It stands in for the model alone: the HTTP, the JSON and the client are real. `Script.answers` maps a question to what
the model says; a request that holds none of the questions gets `Script.otherwise`. `Script.faults` are played before
good answers, or after the first `Script.good` of them: each request takes one off the list. What the probe asks is kept
apart, and answered at once.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STALL = 60.0
"""Seconds."""
QUESTION = "Invent a short story"
"""How the probe's question begins."""


@dataclass
class Script:
    answers: dict[str, str] = field(default_factory=dict)
    otherwise: str = "Ответ: 0"
    score: str = '{"score": 4}'
    faults: list[str] = field(default_factory=list)
    good: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each request came (monotonic)."""
    finish: str = "stop"
    probes: list[dict[str, Any]] = field(default_factory=list)
    """What the probe asked."""
    probe: str = ""
    """What it is answered with: a fault by its name; `same`: one text whatever the seed; `key`: a refusal that repeats
    the key; `no-schema`, `no-completions` and `no-logprobs`: a refusal of these
    alone."""
    probe_story: str = "Hare number {seed} ran."
    models: list[dict[str, Any]] = field(default_factory=list)
    """What the server says of its models."""
    queued: str = ""
    """Milliseconds in the server's queue, as TGI tells them in a header."""
    bears: int = 10**6
    """Requests at a time; what comes on top is refused (429)."""
    flying: int = 0
    refused: int = 0
    delay: float = 0.0
    stall_after: int | None = None
    """After so many requests the others wait, until they are given up."""
    stalled: threading.Event = field(default_factory=threading.Event)
    """Set by the first that waits."""
    asked: threading.Event = field(default_factory=threading.Event)
    """Set by the first request."""
    message: dict[str, Any] = field(default_factory=dict)
    """Fields of every chat message beside its content, such as `reasoning`."""
    retry_after: str = "0"
    """What the header of a faulty status says; none is sent where empty."""
    logprobs: dict[str, float] | None = field(default_factory=dict)
    """Of the words of a prompt, -0.5 where not named; None for a server that gives none."""
    alternatives: dict[str, float] | None = field(default_factory=lambda: {"4": 0.0})
    """Log-probabilities of what could stand in the place of a digit; None for a server that gives none."""
    thought: str = ""
    """What a server that tells the tokens of an answer tells of the think block before them."""

    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    batch_ends: list[str] = field(default_factory=list)
    """How the next batches end, one after the other; "completed" where nothing is left."""
    batches_wait: bool = False
    """Whether a batch stays in progress."""
    spoiled: int = 0
    """So many of the next lines of a batch have status 500."""

    def reply(self, body: dict[str, Any]) -> str:
        text = "\n".join(message["content"] for message in body["messages"])
        if "response_format" in body:
            return self.score
        asked = body["messages"][-1]["content"]
        if QUESTION in asked:
            return "A hare ran." if self.probe == "same" else self.probe_story.format(**body)
        return next((answer for question, answer in self.answers.items() if question in asked), self.otherwise or text)


@contextmanager
def serving(script: Script, port: int = 0) -> Iterator[str]:
    """The server's base URL (with /v1), for as long as the block runs."""
    server = uvicorn.Server(uvicorn.Config(_app(script), host="127.0.0.1", port=port, log_level="critical"))
    started = threading.Event()
    startup = server.startup

    async def startup_then_tell(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = startup_then_tell
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = server.force_exit = True  # a request that was told to wait waits no longer
        thread.join(10)


def run(script: Script, port: int) -> None:
    """The same as a process of its own, until it is told to stop."""
    uvicorn.run(_app(script), host="127.0.0.1", port=port, log_level="critical")


def _app(script: Script) -> Starlette:
    return Starlette(
        routes=[
            Route("/health", lambda _: Response()),
            Route("/v1/chat/completions", _handler(script, _chat), methods=["POST"]),
            Route("/v1/completions", _handler(script, _completion), methods=["POST"]),
            Route("/generate", _handler(script, _generate), methods=["POST"]),
            Route("/v1/files", _upload(script), methods=["POST"]),
            Route("/v1/files/{file}/content", lambda request: Response(script.files[request.path_params["file"]])),
            Route("/v1/batches", _batch(script), methods=["POST"]),
            Route("/v1/batches", lambda _: JSONResponse({"object": "list", "data": [*script.batches.values()][::-1]})),
            Route("/v1/batches/{batch}", lambda request: _look(script, request.path_params["batch"])),
            Route("/v1/models", lambda _: JSONResponse({"object": "list", "data": script.models})),
            Route("/info", lambda _: JSONResponse(script.models[0] if script.models else {})),
        ]
    )


def _upload(script: Script) -> Any:
    async def upload(request: Request) -> Response:
        async with request.form() as form:
            assert form["purpose"] == "batch"
            return JSONResponse(_file(script, await form["file"].read()))  # pyright: ignore[reportAttributeAccessIssue]

    return upload


def _file(script: Script, content: bytes) -> dict[str, Any]:
    name = f"file-{len(script.files)}"
    script.files[name] = content
    return {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "f", "purpose": "batch"}


def _batch(script: Script) -> Any:
    async def create(request: Request) -> Response:
        batch = {"id": f"batch-{len(script.batches)}", "object": "batch", "created_at": 0, "status": "validating"}
        script.batches[batch["id"]] = batch | await request.json()
        script.asked.set()
        return JSONResponse(script.batches[batch["id"]])

    return create


def _look(script: Script, name: str) -> Response:
    """Where a batch stands; one that may go on comes to its end now."""
    batch = script.batches[name]
    if batch["status"] in ("validating", "in_progress"):
        batch["status"] = "in_progress" if script.batches_wait else _worked_off(script, batch)
    return JSONResponse(batch)


def _worked_off(script: Script, batch: dict[str, Any]) -> str:
    end = script.batch_ends.pop(0) if script.batch_ends else "completed"
    batch["errors"] = {"data": [{"code": "invalid", "message": "told to fail"}]} if end == "failed" else None
    if end == "completed":
        lines = [json.loads(line) for line in script.files[batch["input_file_id"]].splitlines()]
        batch["output_file_id"] = _file(script, b"\n".join(_line(script, line) for line in lines))["id"]
    return end


def _line(script: Script, line: dict[str, Any]) -> bytes:
    script.requests.append(line["body"])
    script.spoiled -= 1
    response = {"status_code": 200, "body": _chat(script, line["body"])} if script.spoiled < 0 else {"status_code": 500}
    return json.dumps({"custom_id": line["custom_id"], "response": response, "error": None}).encode()


def _handler(script: Script, good: Any) -> Any:
    async def handle(request: Request) -> Response:
        body = json.loads(await request.body())
        if QUESTION in str(body):
            script.probes.append(body)
            return _probed(script, request, body) or JSONResponse(good(script, body))
        script.requests.append(body)
        script.times.append(time.monotonic())
        script.asked.set()
        if script.flying >= script.bears:
            script.refused += 1
            return _fault("429", script, body)
        script.flying += 1
        try:
            await asyncio.sleep(script.delay)
            if script.stall_after is not None and len(script.requests) > script.stall_after:
                script.stalled.set()
                await asyncio.sleep(STALL)
        finally:
            script.flying -= 1
        if script.faults and len(script.requests) > script.good:
            return _fault(script.faults.pop(0), script, body)
        return JSONResponse(good(script, body), headers={"x-queue-time": script.queued} if script.queued else None)

    return handle


def _probed(script: Script, request: Request, body: dict[str, Any]) -> Response | None:
    """What goes wrong with a probe; None where it is answered as usual."""
    match script.probe:
        case "" | "same":
            return None
        case "key":
            return JSONResponse({"error": {"message": f"wrong key {request.headers['authorization']}"}}, 401)
        case "no-schema":
            return _fault("400", script, body) if "response_format" in body else None
        case "no-logprobs":
            refusal = {"error": {"message": "You are not allowed to request logprobs from this model"}}
            return JSONResponse(refusal, 403) if "logprobs" in body else None
        case "no-completions":
            return _fault("404", script, body) if "prompt" in body else None
    return _fault(script.probe, script, body)


def _chat(script: Script, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": script.reply(body), **script.message}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": script.finish}
    if body.get("logprobs") and script.alternatives is not None:
        told = [_token(script, text, body["top_logprobs"]) for text in _pieces(script.thought + message["content"])]
        choice["logprobs"] = {"content": told}
    return _envelope(body, choice)


def _pieces(text: str) -> list[str]:
    """The scripted model's tokens in an answer: a digit with the space before it, or what lies between."""
    return re.findall(r"\s?\d|\s+|[^\s\d]+", text)


def _token(script: Script, text: str, most: int) -> dict[str, Any]:
    others = (script.alternatives or {}) if text.strip().isdigit() else {text: -0.1}
    ranked = sorted(others.items(), key=lambda one: -one[1])[:most]
    top = [{"token": other, "logprob": logprob, "bytes": None} for other, logprob in ranked]
    return {"token": text, "logprob": others.get(text, -20.0), "bytes": None, "top_logprobs": top}


def _completion(script: Script, body: dict[str, Any]) -> dict[str, Any]:
    text = body["prompt"] if body.get("echo") else _continued(script, body["prompt"])
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    if body.get("echo") and script.logprobs is not None:
        words = _tokens(text)
        offsets = [len("".join(words[:number])) for number in range(len(words))]
        choice["logprobs"] = {
            "tokens": words,
            "token_logprobs": _logprobs(script, words),
            "text_offset": offsets,
            "top_logprobs": None,
        }
    return _envelope(body, choice)


def _generate(script: Script, body: dict[str, Any]) -> dict[str, Any]:
    """TGI's native API."""
    tokens = _tokens(body["inputs"])
    scored = enumerate(zip(tokens, _logprobs(script, tokens), strict=True))
    prefill = [{"id": place, "text": text, "logprob": logprob} for place, (text, logprob) in scored]
    details = {"finish_reason": "eos_token", "generated_tokens": 5, "seed": 0, "prefill": prefill, "tokens": []}
    return {"generated_text": _continued(script, body["inputs"]), "details": details}


def _tokens(text: str) -> list[str]:
    """The scripted model's tokens: words, each with the white space behind it."""
    return re.findall(r"\s+|\S+\s*", text)


def _logprobs(script: Script, tokens: list[str]) -> list[float | None]:
    if script.logprobs is None:
        return [None] * len(tokens)
    return [script.logprobs.get(token.strip(), -0.5) if place else None for place, token in enumerate(tokens)]


def _continued(script: Script, prompt: str) -> str:
    return next((answer for question, answer in script.answers.items() if question in prompt), script.otherwise)


def _envelope(body: dict[str, Any], *choices: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "1", "object": "completion", "created": 0, "model": body["model"], "choices": choices, "usage": usage}


def _fault(name: str, script: Script, body: dict[str, Any]) -> Response:
    if name.isdigit():
        headers = {"retry-after": script.retry_after} if script.retry_after else {}
        return JSONResponse({"error": {"message": f"told to answer {name}"}}, int(name), headers)
    choice = {"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}
    match name:
        case "no-money":
            return JSONResponse({"error": {"message": "no money left", "code": "insufficient_quota"}}, 429)
        case "html":
            return Response("<html>not the API</html>", media_type="text/html")
        case "truncated":
            return Response('{"id": "1", "choices": [', media_type="application/json")
        case "no-utf-8":
            return Response(b'{"id": "\xff"}', media_type="application/json")
        case "drop":  # the connection is closed in the middle of the body
            return Response('{"id": "1", ', headers={"content-length": "1000"}, media_type="application/json")
        case "list":
            return JSONResponse([1, 2])
        case "null":
            return JSONResponse(None)
        case "no-choices":
            return JSONResponse(_envelope(body))
        case "two-choices":
            return JSONResponse(_envelope(body, choice, choice))
        case "number-as-choice":
            return JSONResponse(_envelope(body) | {"choices": [3]})
        case "no-message":
            return JSONResponse(_envelope(body, {"index": 0, "finish_reason": "stop"}))
        case "number-as-content":
            return JSONResponse(_envelope(body, choice | {"message": {"role": "assistant", "content": 5}}))
        case "number-as-reasoning":
            return JSONResponse(_envelope(body, choice | {"message": choice["message"] | {"reasoning": 5}}))
        case "no-usage":
            return JSONResponse(_envelope(body, choice) | {"usage": None})
        case "empty":
            return JSONResponse({})
    raise ValueError(f"no such fault: {name}")
