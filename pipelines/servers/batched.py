"""A model of transformers behind an OpenAI-compatible server that answers all that waits in one batch.

    python -m pipelines.servers.batched --model FOLDER --alias NAME --port 8081

For machines without a GPU: where the processor multiplies bf16, torch is far ahead of llama.cpp and of `transformers
serve` as soon as many requests wait. It also tells the log-probabilities of what it is given, as vLLM does and
llama.cpp does not: a completion with `max_tokens` 0, `echo` true, `logprobs` 0 or 1.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from jinja2 import TemplateError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipelines.servers import common_options, end_on_signal, end_with_parent
from pipelines.servers.batches import Batches

if TYPE_CHECKING:
    from pipelines.servers.generation import Task, Written

Body = Mapping[str, Any]

SAMPLING: Mapping[str, tuple[float, float, float]] = {
    # default, lowest, highest
    "temperature": (1.0, 0.0, 10.0),
    "top_p": (1.0, 1e-6, 1.0),
    "repetition_penalty": (1.0, 1e-3, 10.0),
    "seed": (0, -(2**63), 2**63 - 1),
    "max_tokens": (16, 1, 2**31),
}
KNOWN = {"model", "messages", "prompt", "echo", "logprobs", "repeat_penalty", *SAMPLING}
"""What a request may hold; llama.cpp's name of the repetition penalty is passed over in favour of the other one."""


class RefusedError(Exception):
    """A request that is answered with an error of the client's: the status and what to do about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Server:
    alias: str
    context: int
    tokenizer: Any
    unscorable: str
    """Why this model cannot say how likely a text is; "" where it can."""
    scores: Batches[Sequence[int], list[float]]
    texts: "Batches[Task, Written]"

    async def chat(self, body: Body) -> dict[str, Any]:
        try:
            prompt = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        except (KeyError, TypeError, ValueError, TemplateError) as error:
            raise RefusedError(400, f"messages cannot be rendered: {type(error).__name__} {error}") from None
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        text, reason, usage = await self._generated(body, ids)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return self._answer("chat.completion", choice, usage)

    async def completions(self, body: Body) -> dict[str, Any]:
        prompt = body.get("prompt")
        if not isinstance(prompt, str):
            raise RefusedError(400, "prompt must be one string")
        if body.get("echo") or body.get("max_tokens") == 0 or body.get("logprobs") is not None:
            return await self._scored(body, prompt)
        text, reason, usage = await self._generated(body, self.tokenizer(prompt)["input_ids"])
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return self._answer("text_completion", choice, usage)

    async def _generated(self, body: Body, ids: list[int]) -> tuple[str, str, tuple[int, int]]:
        from pipelines.servers.generation import Task

        settings = sampling(body)
        limit = int(settings["max_tokens"])
        if not 0 < len(ids) <= self.context - limit:
            raise RefusedError(
                400,
                f"{len(ids)} tokens of prompt and {limit} to write do not fit into {self.context}, or are none",
            )
        task = Task(
            prompt=tuple(ids),
            limit=limit,
            temperature=settings["temperature"],
            top_p=settings["top_p"],
            penalty=settings["repetition_penalty"],
            seed=int(settings["seed"]),
        )
        written = await self.texts.ask(task)
        text = self.tokenizer.decode(written.ids, skip_special_tokens=True)
        return text, "stop" if written.ended else "length", (len(ids), len(written.ids))

    async def _scored(self, body: Body, prompt: str) -> dict[str, Any]:
        if self.unscorable:
            raise RefusedError(400, self.unscorable)
        if body.get("max_tokens") != 0 or body.get("echo") is not True or body.get("logprobs") not in (0, 1):
            raise RefusedError(400, "a text is scored with max_tokens 0, echo true, logprobs 0 or 1, all three of them")
        encoded = self.tokenizer(prompt, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        if not 0 < len(ids) <= self.context:
            raise RefusedError(400, f"the prompt has {len(ids)} tokens; from 1 to {self.context} are allowed")
        logprobs = {
            "tokens": self.tokenizer.batch_decode([[token] for token in ids]),
            "token_logprobs": [None, *await self.scores.ask(ids)],
            "text_offset": [start for start, _ in encoded["offset_mapping"]],
        }
        choice = {"index": 0, "text": prompt, "logprobs": logprobs, "finish_reason": "length"}
        return self._answer("text_completion", choice, (len(ids), 0))

    def _answer(self, kind: str, choice: Body, usage: tuple[int, int]) -> dict[str, Any]:
        prompt, completion = usage
        return {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.alias,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }

    def endpoint(
        self, answer: Callable[[Body], Coroutine[Any, Any, dict[str, Any]]]
    ) -> Callable[[Request], Coroutine[Any, Any, JSONResponse]]:
        async def respond(request: Request) -> JSONResponse:
            try:
                return JSONResponse(await answer(self._checked(await _json(request))))
            except RefusedError as error:
                return _error(error.status, str(error))
            except RuntimeError as error:
                return _error(500, f"the model failed: {error}")

        return respond

    def _checked(self, body: Body) -> Body:
        if body.get("model") != self.alias:
            raise RefusedError(404, f"there is no model {body.get('model')!r} here, only {self.alias!r}")
        if unknown := sorted(body.keys() - KNOWN):
            raise RefusedError(400, f"this server does not know {', '.join(unknown)}")
        return body

    async def models(self, _: Request) -> JSONResponse:
        model = {"id": self.alias, "object": "model", "owned_by": "thinkin", "max_model_len": self.context}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(batches.run()) for batches in (self.scores, self.texts)]
            yield
            for task in tasks:
                task.cancel()

    def application(self) -> Starlette:
        routes = [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.endpoint(self.chat), methods=["POST"]),
            Route("/v1/completions", self.endpoint(self.completions), methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self.lifespan)


def sampling(body: Body) -> dict[str, float]:
    """The numbers that say how to sample, with OpenAI's defaults; RefusedError for what is out of range."""
    found: dict[str, float] = {}
    for name, (default, lowest, highest) in SAMPLING.items():
        value = body.get(name)
        value = default if value is None else value
        whole = isinstance(default, float) or isinstance(value, int)
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest or not whole:
            raise RefusedError(400, f"{name} must be a number from {lowest:g} to {highest:g}, not {value!r}")
        found[name] = value
    return found


async def _json(request: Request) -> Body:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "the request's body is no JSON object")
    return body


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


def load(folder: Path, alias: str, most: int, context: int | None) -> Server:
    """Raises OSError or ValueError for a folder that holds no model that can be served."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pipelines.servers import generation, scoring

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.bfloat16)
    model.to(device).eval()
    try:
        scoring.check(model, tokenizer)
        unscorable = ""
    except ValueError as error:  # no hindrance to writing
        unscorable = str(error)
    stated = model.generation_config.eos_token_id
    ends = [*(stated if isinstance(stated, list) else [stated]), tokenizer.eos_token_id]
    ends = list(dict.fromkeys(token for token in ends if token is not None))
    if not ends:
        raise ValueError("its tokenizer names no token that ends a text")
    longest = model.config.max_position_embeddings
    return Server(
        alias,
        min(context or longest, longest),
        tokenizer,
        unscorable,
        Batches(lambda prompts: scoring.score(model, prompts), len, most),
        Batches(lambda tasks: generation.generate(model, tasks, ends), lambda task: len(task.prompt), most),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.servers.batched", description=__doc__)
    common_options(parser, "a folder with safetensors, config and tokenizer")
    parser.add_argument("--batch", type=int, default=8, help="requests answered at the same time")
    parser.add_argument("--context", type=int, help="tokens per request (default: as many as the model bears)")
    options = parser.parse_args()
    end_with_parent()
    end_on_signal()
    try:
        server = load(options.model, options.alias, options.batch, options.context)
    except (OSError, ValueError) as error:
        sys.exit(f"{options.model} holds no model that can be served: {' '.join(str(error).split())}")
    # The port opens now that the model is there. After SIGTERM, requests get a second; then `end_on_signal` ends all.
    uvicorn.run(
        server.application(), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()
