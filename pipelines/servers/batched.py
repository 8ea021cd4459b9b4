"""A model of transformers behind an OpenAI-compatible server that answers all that waits in one batch.

    python -m pipelines.servers.batched --model FOLDER --alias NAME --port 8081

For machines without a GPU: where the processor multiplies bf16, torch is far ahead of llama.cpp and of `transformers
serve` as soon as many requests wait. It also tells the log-probabilities of what it is given, as vLLM does and
llama.cpp does not: a completion with `max_tokens` 0, `echo` true, `logprobs` 0 or 1. A chat keeps to a JSON schema.
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
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from jinja2 import TemplateError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipelines.servers import common_options, end_on_signal
from pipelines.servers.batches import Batches
from pipelines.servers.requests import Chat, Completion, Sampling

if TYPE_CHECKING:
    from pipelines.servers.generation import Task, Written
    from pipelines.servers.grammar import Grammar, Grammars


B = TypeVar("B", bound=Sampling)


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
    grammars: "Grammars"
    unscorable: str
    """Why this model cannot say how likely a text is; "" where it can."""
    scores: Batches[Sequence[int], list[float]]
    texts: "Batches[Task, Written]"

    async def chat(self, body: Chat) -> dict[str, Any]:
        try:
            prompt = self.tokenizer.apply_chat_template(body.messages, tokenize=False, add_generation_prompt=True)
        except (KeyError, TypeError, ValueError, TemplateError) as error:
            raise RefusedError(400, f"messages cannot be rendered: {type(error).__name__} {error}") from None
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        schema = body.response_format and body.response_format.schema_of_it
        text, reason, usage = await self._generated(body, ids, schema)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return self._answer("chat.completion", choice, usage)

    async def completions(self, body: Completion) -> dict[str, Any]:
        if body.echo or body.max_tokens == 0 or body.logprobs is not None:
            return await self._scored(body)
        text, reason, usage = await self._generated(body, self.tokenizer(body.prompt)["input_ids"])
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return self._answer("text_completion", choice, usage)

    async def _generated(
        self, body: Sampling, ids: list[int], schema: dict[str, Any] | None = None
    ) -> tuple[str, str, tuple[int, int]]:
        from pipelines.servers.generation import Task

        if not ids or not body.max_tokens:
            raise RefusedError(400, f"{len(ids)} tokens of prompt and {body.max_tokens} to write: neither may be 0")
        if len(ids) + body.max_tokens > self.context:
            raise RefusedError(
                400, f"{len(ids)} tokens of prompt and {body.max_tokens} to write do not fit into {self.context}"
            )
        task = Task(
            prompt=tuple(ids),
            limit=body.max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            penalty=body.repetition_penalty,
            seed=body.seed,
            grammar=self._grammar(schema) if schema is not None else None,
        )
        written = await self.texts.ask(task)
        text = self.tokenizer.decode(written.ids, skip_special_tokens=True)
        return text, "stop" if written.ended else "length", (len(ids), len(written.ids))

    def _grammar(self, schema: dict[str, Any]) -> "Grammar":
        try:
            return self.grammars.of(schema)
        except ValueError as error:
            raise RefusedError(400, f"response_format: {error}") from None

    async def _scored(self, body: Completion) -> dict[str, Any]:
        if self.unscorable:
            raise RefusedError(400, self.unscorable)
        if body.max_tokens or not body.echo or body.logprobs not in (0, 1):
            raise RefusedError(400, "a text is scored with max_tokens 0, echo true, logprobs 0 or 1, all three of them")
        encoded = self.tokenizer(body.prompt, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        if not 0 < len(ids) <= self.context:
            raise RefusedError(400, f"the prompt has {len(ids)} tokens; from 1 to {self.context} are allowed")
        logprobs = {
            "tokens": self.tokenizer.batch_decode([[token] for token in ids]),
            "token_logprobs": [None, *await self.scores.ask(ids)],
            "text_offset": [start for start, _ in encoded["offset_mapping"]],
        }
        choice = {"index": 0, "text": body.prompt, "logprobs": logprobs, "finish_reason": "length"}
        return self._answer("text_completion", choice, (len(ids), 0))

    def _answer(self, kind: str, choice: Mapping[str, Any], usage: tuple[int, int]) -> dict[str, Any]:
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
        self, kind: type[B], answer: Callable[[B], Coroutine[Any, Any, dict[str, Any]]]
    ) -> Callable[[Request], Coroutine[Any, Any, JSONResponse]]:
        async def respond(request: Request) -> JSONResponse:
            try:
                body = kind.model_validate_json(await request.body())
                if body.model != self.alias:
                    raise RefusedError(404, f"there is no model {body.model!r} here, only {self.alias!r}")
                return JSONResponse(await answer(body))
            except ValidationError as error:
                return _error(400, _told(error))
            except RefusedError as error:
                return _error(error.status, str(error))
            except RuntimeError as error:
                return _error(500, f"the model failed: {error}")

        return respond

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
            Route("/v1/chat/completions", self.endpoint(Chat, self.chat), methods=["POST"]),
            Route("/v1/completions", self.endpoint(Completion, self.completions), methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self.lifespan)


def _told(error: ValidationError) -> str:
    found = ((".".join(map(str, part["loc"])) or "the body", part["msg"]) for part in error.errors())
    return "; ".join(f"{place}: {message}" for place, message in found)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


def load(folder: Path, alias: str, most: int, context: int | None) -> Server:
    """Raises OSError or ValueError for a folder that holds no model that can be served."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pipelines.servers import generation, scoring
    from pipelines.servers.grammar import Grammars

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
        Grammars(tokenizer, model.config.get_text_config().vocab_size, ends),
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
