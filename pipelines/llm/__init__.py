"""A door to a model, and the only place where a request to one is retried.

`openai_door` leads to any OpenAI-compatible server, `tgi_door` to TGI; `replies` reads what either sends.

One choice is asked for per request, each with its own seed, because TGI and `transformers serve` ignore `n`. A
reply that does not hold exactly one choice is an error and no sample. Reasoning is taken from wherever the server
puts it: a field `reasoning` or `reasoning_content`, or inline in the text.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx2
import openai
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
                raise SampleError(reason, line(error), number) from None
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


def line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
