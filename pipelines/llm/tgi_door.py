"""The door to TGI, through its own client."""

from typing import Any

from huggingface_hub import AsyncInferenceClient

from pipelines.errors import SampleError
from pipelines.llm import TIMEOUT, Door, Reply, Request, Template
from pipelines.llm.replies import as_text, chat_reply, mean, readable


class TGIDoor(Door):
    """TGI through its own client: its Messages API, and its native API where an opening has to be continued."""

    def __init__(self, url: str, model: str, template: Template, key: str) -> None:
        super().__init__(model, template)
        self.client = AsyncInferenceClient(base_url=url, token=key or None, timeout=TIMEOUT)

    async def close(self) -> None:
        await self.client.close()

    async def _ask(self, request: Request) -> Reply:
        sampling = request.sampling
        if request.opening:
            prompt = self.prompt(request)
            with readable():
                answer = await self.client.text_generation(
                    prompt,
                    details=True,
                    decoder_input_details=True,
                    return_full_text=False,
                    max_new_tokens=sampling.max_tokens,
                    do_sample=sampling.temperature > 0,
                    temperature=sampling.temperature or None,
                    top_p=sampling.top_p if sampling.top_p < 1 else None,
                    repetition_penalty=sampling.repetition_penalty,
                    seed=request.seed,
                )
            details = _details(answer)
            reason = "length" if details.finish_reason == "length" else "stop"
            written = request.opening + as_text(answer.generated_text)
            return Reply(written, None, reason, len(details.prefill), details.generated_tokens)
        grammar: Any = {"type": "json", "value": request.schema} if request.schema else None
        with readable():
            answer = await self.client.chat_completion(
                [message.model_dump() for message in request.messages],
                model=None,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p if sampling.top_p < 1 else None,
                seed=request.seed,
                response_format=grammar,
                # TGI's Messages API knows no repetition penalty; its frequency penalty is another thing
            )
        return chat_reply(answer)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        with readable():
            answer = await self.client.text_generation(
                before + text, details=True, decoder_input_details=True, max_new_tokens=1
            )
        prefill = _details(answer).prefill
        position, inside = 0, []
        for token in prefill:
            if position >= len(before) and token.logprob is not None:
                inside.append(token.logprob)
            position += len(token.text)
        return len(prefill), mean(inside)


def _details(answer: Any) -> Any:
    details = getattr(answer, "details", None)
    if details is None:
        raise SampleError("bad-reply", "TGI sent no details of the generation")
    return details
