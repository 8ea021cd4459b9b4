"""The door to any OpenAI-compatible server."""

from typing import Any

import openai

from pipelines.errors import SampleError
from pipelines.llm import TIMEOUT, Door, Reply, Request, Template
from pipelines.llm.replies import as_text, chat_reply, mean, only, readable, reply


class OpenAIDoor(Door):
    def __init__(self, url: str, model: str, template: Template, key: str, extensions: bool) -> None:
        """`extensions`: whether the server takes what OpenAI's own does not, such as a repetition penalty."""
        super().__init__(model, template)
        self.extensions = extensions
        self.client = openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT)

    async def close(self) -> None:
        await self.client.close()

    async def _ask(self, request: Request) -> Reply:
        sampling = request.sampling
        common: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }
        if self.extensions and sampling.repetition_penalty != 1.0:
            # llama.cpp, then vLLM and SGLang; each ignores the other's name
            penalty = {"repeat_penalty": sampling.repetition_penalty, "repetition_penalty": sampling.repetition_penalty}
            common["extra_body"] = penalty
        if request.opening:
            prompt = self.prompt(request)
            with readable():
                answer = await self.client.completions.create(prompt=prompt, max_tokens=sampling.max_tokens, **common)
            choice = only(answer)
            written = request.opening + as_text(getattr(choice, "text", None))
            return reply(written, None, choice.finish_reason, answer.usage)
        if request.schema:
            common["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": request.schema, "strict": True},
            }
        # the newer OpenAI models know max_completion_tokens alone, the other servers max_tokens alone
        limit = "max_tokens" if self.extensions else "max_completion_tokens"
        messages: Any = [message.model_dump() for message in request.messages]
        common[limit] = sampling.max_tokens
        with readable():
            answer = await self.client.chat.completions.create(messages=messages, **common)
        return chat_reply(answer)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        with readable():
            answer = await self.client.completions.create(
                model=self.model, prompt=before + text, max_tokens=0, echo=True, logprobs=0, temperature=0
            )
        found = getattr(only(answer), "logprobs", None)
        if not found or not found.token_logprobs or not found.text_offset:
            raise SampleError(
                "no-logprobs", f"{self.model}: the server gives no log-probabilities of the prompt (echo)"
            )
        whole = len(before) + len(text)
        inside = [
            logprob
            for logprob, offset in zip(found.token_logprobs, found.text_offset, strict=True)
            if logprob is not None and len(before) <= offset < whole
        ]
        return len(found.token_logprobs), mean(inside)
