"""The two doors to a model: any OpenAI-compatible server, and TGI. The only place where a model request is retried.

One choice is asked for per request, each with its own seed, because TGI and `transformers serve` ignore `n`. A
reply that does not hold exactly one choice is an error and no sample. Reasoning is taken from wherever the server
puts it: a field `reasoning` or `reasoning_content`, or inline in the text.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx2
import openai
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from pipelines import chains
from pipelines.errors import SampleError
from pipelines.facts import Usage
from pipelines.recipe import Sampling
from pipelines.records import Message

ATTEMPTS = 5
TIMEOUT = 1_800.0
"""Seconds for one request: a long chain on a busy server takes many minutes."""
LONGEST_WAIT = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What one sample is asked for. A last assistant message is an opening that the model continues."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    schema: Mapping[str, Any] | None = None

    @property
    def opening(self) -> str:
        return self.messages[-1].content if self.messages[-1].role == "assistant" else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """`reasoning` is None unless the server took the think block out of the text by itself."""

    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    def chain(self) -> chains.Chain:
        """Think block and answer. A closing tag alone means that the template had opened the block already."""
        if self.reasoning is not None:
            return chains.split(chains.join(self.reasoning.strip(), self.text.strip()))
        return chains.split(self.text, opened="<think>" not in self.text and "</think>" in self.text)


class Template(Protocol):
    """Renders messages as the model's own chat template does, up to where the assistant begins to write."""

    def __call__(self, messages: tuple[Message, ...]) -> str: ...


@dataclass
class Door(ABC):
    """A way to one served model. `usage` counts what was answered through it."""

    model: str
    template: Template
    revision: str = field(default="", init=False)
    """The model's commit, where it is known: that of a server which was started here."""
    usage: Usage = field(default=Usage(), init=False)

    async def ask(self, request: Request) -> Reply:
        """One sample; SampleError after the retries, or at once where a retry cannot help."""
        reply = await retried(lambda: self._ask(request))
        self._count(reply.prompt_tokens, reply.completion_tokens)
        return reply

    async def likelihood(self, messages: tuple[Message, ...]) -> float:
        """The mean log-probability (nats per token) of the last message, given those before it."""
        before = self.template(messages[:-1])
        tokens, mean = await retried(lambda: self._likelihood(before, messages[-1].content))
        self._count(tokens, 0)
        return mean

    def prompt(self, request: Request) -> str:
        """The whole prompt as text, for a request with an opening; what the template already opened is not repeated."""
        before = self.template(request.messages[:-1])
        opened = before.rstrip().endswith("<think>")
        opening = request.opening.removeprefix("<think>").lstrip("\n") if opened else request.opening
        return before + opening

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def _ask(self, request: Request) -> Reply: ...

    @abstractmethod
    async def _likelihood(self, before: str, text: str) -> tuple[int, float]: ...

    def _count(self, prompt: int, completion: int) -> None:
        self.usage = self.usage.plus(Usage(requests=1, prompt_tokens=prompt, completion_tokens=completion))


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
            with _readable():
                answer = await self.client.completions.create(prompt=prompt, max_tokens=sampling.max_tokens, **common)
            choice = _only(answer)
            text = request.opening + _text(getattr(choice, "text", None))
            return _reply(text, None, choice.finish_reason, answer.usage)
        if request.schema:
            common["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": request.schema, "strict": True},
            }
        # the newer OpenAI models know max_completion_tokens alone, the other servers max_tokens alone
        limit = "max_tokens" if self.extensions else "max_completion_tokens"
        messages: Any = [message.model_dump() for message in request.messages]
        common[limit] = sampling.max_tokens
        with _readable():
            answer = await self.client.chat.completions.create(messages=messages, **common)
        return _chat_reply(answer)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        with _readable():
            answer = await self.client.completions.create(
                model=self.model, prompt=before + text, max_tokens=0, echo=True, logprobs=0, temperature=0
            )
        found = getattr(_only(answer), "logprobs", None)
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
        return len(found.token_logprobs), _mean(inside)


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
            with _readable():
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
            text = request.opening + _text(answer.generated_text)
            return Reply(text, None, reason, len(details.prefill), details.generated_tokens)
        grammar: Any = {"type": "json", "value": request.schema} if request.schema else None
        with _readable():
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
        return _chat_reply(answer)

    async def _likelihood(self, before: str, text: str) -> tuple[int, float]:
        with _readable():
            answer = await self.client.text_generation(
                before + text, details=True, decoder_input_details=True, max_new_tokens=1
            )
        prefill = _details(answer).prefill
        position, inside = 0, []
        for token in prefill:
            if position >= len(before) and token.logprob is not None:
                inside.append(token.logprob)
            position += len(token.text)
        return len(prefill), _mean(inside)


async def retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it works, at most ATTEMPTS times, waiting as the server says or ever longer with jitter."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return await attempt()
        except SampleError as error:
            error.attempts = number
            if error.reason != "bad-reply" or number == ATTEMPTS:
                raise
            wait = None
        except (openai.APIError, HfHubHTTPError, InferenceTimeoutError, httpx2.RequestError, OSError) as error:
            reason, worth_it, wait = _classify(error)
            if not worth_it or number == ATTEMPTS:
                raise SampleError(reason, _line(error), number) from None
        backoff = random.uniform(0.5, 1.0) * 2**number  # noqa: S311 - jitter
        await asyncio.sleep(min(LONGEST_WAIT, wait if wait is not None else backoff))
    raise AssertionError("unreachable")


def _classify(error: Exception) -> tuple[str, bool, float | None]:
    """A stable name, whether a retry may help, and how long the server asks to wait (seconds)."""
    response = getattr(error, "response", None)
    if response is None:
        timed_out = isinstance(error, openai.APITimeoutError | InferenceTimeoutError | TimeoutError)
        return ("timeout" if timed_out else "connection"), True, None
    status = response.status_code
    after = response.headers.get("retry-after", "")
    wait = float(after) if after.replace(".", "", 1).isdigit() else None
    return f"http-{status}", status in (408, 409, 425, 429) or status >= 500, wait


@contextmanager
def _readable() -> Iterator[None]:
    """Around a client's call: what the clients raise over a reply that is not JSON, or not that of the API."""
    try:
        yield
    except HfHubHTTPError:  # its BadRequestError is a ValueError, too
        raise
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise SampleError("bad-reply", f"the server's answer cannot be read: {_line(error)}") from None


def _only(answer: Any) -> Any:
    """The one choice. The clients pass through what is no object, and objects without their fields."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or len(choices) != 1:
        count = len(choices) if isinstance(choices, list) else "no list of"
        raise SampleError("bad-reply", f"the server sent {count} choices where one was asked for")
    return choices[0]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise SampleError("bad-reply", f"the server sent {type(value).__name__} where text was expected")
    return value


def _chat_reply(answer: Any) -> Reply:
    choice = _only(answer)
    message = getattr(choice, "message", None)
    if message is None:
        raise SampleError("bad-reply", "the server sent a choice without a message")
    # the field is no part of OpenAI's API: each client keeps it as an attribute that its types do not know
    reasoning = getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None)
    content = _text(getattr(message, "content", None) or "")
    return _reply(content, _text(reasoning) if reasoning else None, choice.finish_reason, answer.usage)


def _details(answer: Any) -> Any:
    details = getattr(answer, "details", None)
    if details is None:
        raise SampleError("bad-reply", "TGI sent no details of the generation")
    return details


def _reply(text: str, reasoning: str | None, finish_reason: str | None, usage: Any) -> Reply:
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        raise SampleError("bad-reply", "the server did not say how many tokens it used")
    return Reply(text, reasoning, "length" if finish_reason == "length" else "stop", prompt, completion)


def _mean(values: list[float]) -> float:
    if not values:
        raise SampleError("no-logprobs", "the server gave no log-probability for any token of the response")
    return sum(values) / len(values)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
