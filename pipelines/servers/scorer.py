"""How likely is a text: a model of transformers behind the part of OpenAI's completions API that says so.

    python -m pipelines.servers.scorer --model FOLDER --alias NAME --port 8081

llama.cpp's server tells the log-probabilities of what it writes, not of what it is given; vLLM tells both, and this
server answers the same request in the same form: `max_tokens` 0, `echo` true, `logprobs` 0 or 1.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipelines.servers import end_on_signal, end_with_parent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POSITIONS = 256
"""Positions whose logits are held at the same time: 150,000 floats each."""

CHECK = "Two plus two is four. Дважды два — четыре."


class RefusedError(Exception):
    """A request that is answered with an error of the client's: the status and what to do about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def score(model: "PreTrainedModel", prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """The log-probability of each token but the first, given those before it.

    Padding on the right: no real token sees it. The logits are made from the last hidden states a few positions at a
    time, and only where a token follows: all at once they would be gigabytes.
    """
    import torch

    head: Any = model.get_output_embeddings()
    with torch.inference_mode():
        rows = [torch.tensor(prompt, device=model.device) for prompt in prompts]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        mask = torch.arange(ids.shape[1], device=model.device) < lengths[:, None]
        hidden = model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        known, wanted = hidden[:, :-1][mask[:, 1:]], ids[:, 1:][mask[:, 1:]]
        found: list[float] = []
        for states, targets in zip(known.split(POSITIONS), wanted.split(POSITIONS), strict=True):
            logits = head(states).float()
            chosen = logits.gather(-1, targets[:, None]).squeeze(-1)
            found.extend((chosen - logits.logsumexp(-1)).tolist())
    values = iter(found)
    return [[next(values) for _ in prompt[1:]] for prompt in prompts]


@dataclass
class Batches:
    """Requests that wait while the model is at work are scored together: the oldest, and those nearest in length."""

    model: "PreTrainedModel"
    most: int
    waiting: list[tuple[Sequence[int], asyncio.Future[list[float]]]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, prompt: Sequence[int]) -> list[float]:
        future: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self.waiting.append((prompt, future))
        self.arrived.set()
        return await future

    async def work(self) -> None:
        while True:
            await self.arrived.wait()
            self.waiting = [entry for entry in self.waiting if not entry[1].done()]  # the client has gone
            if not self.waiting:
                self.arrived.clear()
                continue
            length = len(self.waiting[0][0])
            nearest = sorted(self.waiting, key=lambda entry: abs(len(entry[0]) - length))  # stable: the oldest is first
            batch, self.waiting = nearest[: self.most], nearest[self.most :]
            prompts, futures = zip(*batch, strict=True)
            try:
                results = await asyncio.to_thread(score, self.model, prompts)
            except RuntimeError as error:  # what torch raises, out of memory included
                for future in futures:
                    _settle(future, error)
            else:
                for future, result in zip(futures, results, strict=True):
                    _settle(future, result)


def _settle(future: asyncio.Future[list[float]], outcome: list[float] | RuntimeError) -> None:
    if future.done():
        return
    if isinstance(outcome, RuntimeError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


@dataclass
class Scorer:
    alias: str
    context: int
    tokenizer: Any
    batches: Batches

    async def completions(self, request: Request) -> JSONResponse:
        try:
            body = await request.json()
            if not isinstance(body, dict):
                raise ValueError
        except ValueError:
            return _error(400, "the request's body is no JSON object")
        try:
            text = self.prompt(body)
            encoded = self.tokenizer(text, return_offsets_mapping=True)
            ids = encoded["input_ids"]
            if not 0 < len(ids) <= self.context:
                raise RefusedError(400, f"the prompt has {len(ids)} tokens; from 1 to {self.context} are allowed")
        except RefusedError as error:
            return _error(error.status, str(error))
        try:
            values = await self.batches.ask(ids)
        except RuntimeError as error:
            return _error(500, f"scoring failed: {error}")
        logprobs = {
            "tokens": self.tokenizer.batch_decode([[token] for token in ids]),
            "token_logprobs": [None, *values],
            "text_offset": [start for start, _ in encoded["offset_mapping"]],
        }
        return JSONResponse(
            {
                "id": f"cmpl-{uuid.uuid4().hex}",
                "object": "text_completion",
                "created": int(time.time()),
                "model": self.alias,
                "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": "length"}],
                "usage": {"prompt_tokens": len(ids), "completion_tokens": 0, "total_tokens": len(ids)},
            }
        )

    def prompt(self, body: dict[str, Any]) -> str:
        """The text to score, or RefusedError where the request asks for anything else."""
        if body.get("model") != self.alias:
            raise RefusedError(404, f"there is no model {body.get('model')!r} here, only {self.alias!r}")
        if body.get("max_tokens") != 0 or body.get("echo") is not True or body.get("logprobs") not in (0, 1):
            raise RefusedError(
                400, "this server only scores what it is given: max_tokens 0, echo true, logprobs 0 or 1"
            )
        if not isinstance(body.get("prompt"), str):
            raise RefusedError(400, "prompt must be one string")
        return body["prompt"]

    async def models(self, _: Request) -> JSONResponse:
        model = {"id": self.alias, "object": "model", "owned_by": "scorer", "max_model_len": self.context}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(self.batches.work())
        yield
        work.cancel()

    def application(self) -> Starlette:
        routes = [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self.lifespan)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


def load(folder: Path, alias: str, most: int) -> Scorer:
    """Raises OSError or ValueError for a folder that holds no model that can be scored with."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.bfloat16)
    model.to(device).eval()
    ids = tokenizer(CHECK, return_tensors="pt")["input_ids"].to(device)
    with torch.inference_mode():
        whole = model(ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    ours = torch.tensor(score(model, ids.tolist())[0], device=device)
    if not torch.allclose(whole, ours, atol=0.05):
        raise ValueError(f"{model.config.model_type} changes its logits after the output layer, which is not done here")
    return Scorer(alias, model.config.max_position_embeddings, tokenizer, Batches(model, most))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.servers.scorer", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder with safetensors, config and tokenizer")
    parser.add_argument("--alias", required=True, help="the model's name in requests")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch", type=int, default=8, help="prompts scored at the same time")
    options = parser.parse_args()
    end_with_parent()
    end_on_signal()
    try:
        scorer = load(options.model, options.alias, options.batch)
    except (OSError, ValueError) as error:
        sys.exit(f"{options.model} holds no model that can be scored with: {' '.join(str(error).split())}")
    # The port opens now that the model is there. After SIGTERM, requests get a second; then `end_on_signal` ends all.
    uvicorn.run(
        scorer.application(), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()
