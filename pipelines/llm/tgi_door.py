"""The door to TGI: its Messages API, and its native API where an opening has to be continued."""

from functools import partial
from typing import Any

from pipelines.llm import Door, Offer, Reply, Request
from pipelines.llm.replies import as_text, chat_reply, mean
from pipelines.llm.wire import Fault

MOST_ALTERNATIVES = 5
"""What TGI tells at the most, of what its grammar allows: one for each score."""


class TGIDoor(Door):
    async def offer(self) -> Offer:
        told = await self.wire.get("/info")
        told = told if isinstance(told, dict) else {}
        name, context = told.get("model_id"), told.get("max_total_tokens")
        return Offer((name,) if isinstance(name, str) else (), context if isinstance(context, int) else None)

    async def _ask(self, request: Request) -> Reply:
        sampling = request.sampling
        if request.opening:
            answer, details = await self._generate(
                self.prompt(request),
                sampling.max_tokens,
                do_sample=sampling.temperature > 0,
                temperature=sampling.temperature or None,
                top_p=sampling.top_p if sampling.top_p < 1 else None,
                repetition_penalty=sampling.repetition_penalty,
                seed=request.seed,
            )
            reason = "length" if details.get("finish_reason") == "length" else "stop"
            written = request.opening + as_text(answer.get("generated_text"))
            return Reply(written, None, reason, len(details["prefill"]), _number(details.get("generated_tokens")))
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": request.seed,
            # TGI's Messages API knows no repetition penalty; its frequency penalty is another thing
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if request.schema:
            body["response_format"] = {"type": "json", "value": request.schema}
        if request.alternatives:
            body |= {"logprobs": True, "top_logprobs": MOST_ALTERNATIVES}
        read = partial(chat_reply, alternatives=request.alternatives)
        return await self.post("/v1/chat/completions", body, sampling.max_tokens, read)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        _, details = await self._generate(before + text, 1)
        position, inside = 0, list[float]()
        for token in details["prefill"]:
            logprob = token.get("logprob")
            if position >= len(before) and logprob is not None:
                inside.append(logprob)
            position += len(as_text(token.get("text")))
        return len(details["prefill"]), mean(inside)

    async def _generate(self, prompt: str, tokens: int, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """TGI's native API: the answer, and its details with the tokens of the prompt."""

        def read(answer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            details = answer.get("details") if isinstance(answer, dict) else None
            details = details if isinstance(details, dict) else {}
            prefill = details.get("prefill")
            if not isinstance(prefill, list) or not all(isinstance(token, dict) for token in prefill):
                raise Fault("bad-reply", "TGI sent no details of the generation")
            return answer, details

        wanted = {"details": True, "decoder_input_details": True, "return_full_text": False, "max_new_tokens": tokens}
        wanted |= {name: value for name, value in parameters.items() if value is not None}
        return await self.post("/generate", {"inputs": prompt, "parameters": wanted}, tokens, read)


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise Fault("bad-reply", "the server did not say how many tokens it used")
    return value
