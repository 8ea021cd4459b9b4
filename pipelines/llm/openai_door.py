"""The door to any OpenAI-compatible server."""

from functools import partial
from typing import Any

from pipelines.llm import Door, Limits, Offer, Reply, Request, Template
from pipelines.llm.replies import chat_reply, completion_reply, mean, only
from pipelines.llm.wire import Fault, Wire

MOST_ALTERNATIVES = 20
"""So many for each token are told by OpenAI and by vLLM as it is started. Servers that do not keep to a schema before
they tell them (llama.cpp, vLLM) need room for words that are no score."""


class OpenAIDoor(Door):
    def __init__(
        self, wire: Wire, model: str, template: Template, extensions: bool, limits: Limits | None = None
    ) -> None:
        """`extensions`: whether the server takes what OpenAI's own does not, such as a repetition penalty."""
        super().__init__(wire, model, template, limits)
        self.extensions = extensions

    async def offer(self) -> Offer:
        told = await self.wire.get("/models")
        listed = told.get("data") if isinstance(told, dict) else None
        known = [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
        models = {model["id"]: model for model in known if isinstance(model.get("id"), str)}
        mine = models.get(self.model, {})
        # vLLM, SGLang and our own; OpenRouter; Groq
        stated = (mine.get(name) for name in ("max_model_len", "context_length", "context_window"))
        return Offer(tuple(models), next((context for context in stated if isinstance(context, int)), None))

    async def _ask(self, request: Request) -> Reply:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }
        if self.extensions and sampling.repetition_penalty != 1.0:
            # llama.cpp, then vLLM and SGLang; each ignores the other's name
            body["repeat_penalty"] = body["repetition_penalty"] = sampling.repetition_penalty
        if request.opening:
            body |= {"prompt": self.prompt(request), "max_tokens": sampling.max_tokens}
            return await self.post(
                "/completions", body, sampling.max_tokens, partial(completion_reply, request.opening)
            )
        if request.schema:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.alternatives:
            body |= {"logprobs": True, "top_logprobs": MOST_ALTERNATIVES}
        # the newer OpenAI models know max_completion_tokens alone, the other servers max_tokens alone
        body["max_tokens" if self.extensions else "max_completion_tokens"] = sampling.max_tokens
        body["messages"] = [message.model_dump() for message in request.messages]
        read = partial(chat_reply, alternatives=request.alternatives)
        return await self.post("/chat/completions", body, sampling.max_tokens, read)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        body = {
            "model": self.model,
            "prompt": before + text,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 0,
        }
        found = (await self.post("/completions", body, 0, only)).get("logprobs")
        scores, offsets = (
            (found.get("token_logprobs"), found.get("text_offset")) if isinstance(found, dict) else ([], [])
        )
        if not scores or not offsets:
            raise Fault("no-logprobs", f"{self.model}: the server gives no log-probabilities of the prompt (echo)")
        whole = len(before) + len(text)
        pairs = zip(scores, offsets, strict=True)
        inside = [score for score, offset in pairs if score is not None and len(before) <= offset < whole]
        return len(scores), mean(inside)
