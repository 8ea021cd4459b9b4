"""A door to a model, and the only place where a request to one is retried.

`openai_door` leads to any OpenAI-compatible server, `tgi_door` to TGI; `replies` reads what either sends. `wire`
carries a request over `connections` to one of the `addresses` (`public` does it with openai's client, `batches` many of
them as a file), `pace` says when the server has room for it, `retries` whether it is worth another attempt. `probe`
tries, before the first paid request, whether a server does what is going to be asked.

One choice is asked for per request, each with its own seed, because TGI and `transformers serve` ignore `n`. A
reply that does not hold exactly one choice is an error and no sample. Reasoning is taken from wherever the server
puts it: a field `reasoning` or `reasoning_content`, or inline in the text.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from pipelines import chains
from pipelines.facts import Contract, Usage
from pipelines.llm.pace import LATE, Pace
from pipelines.llm.retries import Budget, Mend, retried
from pipelines.llm.wire import Fault, Wire
from pipelines.recipe import Sampling
from pipelines.records import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What one sample is asked for. A last assistant message is an opening that the model continues."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    schema: Mapping[str, Any] | None = None
    alternatives: bool = False
    """Whether it has to be told what else could have stood in each place, and how likely."""

    @property
    def opening(self) -> str:
        return self.messages[-1].content if self.messages[-1].role == "assistant" else ""


class Token(NamedTuple):
    """A token that was written, and the log-probabilities (nats) of those that could have stood in its place, its own
    among them; servers tell those of the likeliest few."""

    text: str
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """`reasoning` is None unless the server took the think block out of the text by itself, into `field`."""

    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    field: str = ""
    opened: bool = False
    """Whether the model's chat template had opened the think block before the text begins, as far as it is known."""
    tokens: tuple[Token, ...] = ()
    """All that were written, those of a think block with them; only for a request with `alternatives`."""

    def chain(self) -> chains.Chain:
        """Think block and answer. A closing tag alone means that the template had opened the block already."""
        if self.reasoning is not None:
            return chains.split(chains.join(self.reasoning.strip(), self.text.strip()))
        return chains.split(self.text, opened="<think>" not in self.text and (self.opened or "</think>" in self.text))


class Likelihood(NamedTuple):
    """The mean log-probability of a text, in nats per token, and how many tokens were read for it."""

    mean: float
    tokens: int


class Template(Protocol):
    """Renders messages as the model's own chat template does, up to where the assistant begins to write."""

    def __call__(self, messages: tuple[Message, ...]) -> str: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so many requests under way; so many seconds for one until it begins to write, and for each token."""

    parallel: int = 8
    start: float = 600.0
    token: float = 0.5

    def seconds(self, tokens: int) -> float:
        return self.start + self.token * tokens


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says of itself: its models, and how many tokens the one asked for takes, prompt and answer."""

    models: tuple[str, ...]
    context: int | None


class Door(ABC):
    """A way to one served model."""

    def __init__(self, wire: Wire, model: str, template: Template, limits: Limits | None = None) -> None:
        self.wire, self.model, self.template = wire, model, template
        self.limits = limits or Limits()
        self.pace, self.budget = Pace(self.limits.parallel), Budget(self.limits.parallel)
        self._requests = self._prompt_tokens = self._completion_tokens = 0
        self.opened, self._closed = time.monotonic(), 0.0
        self.revision = ""
        """The model's commit, where it is known: that of a server which was started here."""
        self.contract: Contract | None = None
        """What the server was found to do, once it was probed."""
        self.mend: Mend | None = None

    async def ask(self, request: Request) -> Reply:
        """One sample; SampleError after the retries, or at once where a retry cannot help."""
        reply = await retried(lambda: self._ask(request), self.budget, self.mend)
        self._count(reply.prompt_tokens, reply.completion_tokens)
        opened = self.contract is not None and self.contract.prefilled is True and not request.opening
        return replace(reply, opened=True) if opened else reply

    async def likelihood(self, messages: tuple[Message, ...]) -> Likelihood:
        """Of the last message, given those before it."""
        before = self.template(messages[:-1])
        text = messages[-1].content
        tokens, mean = await retried(lambda: self._likelihood(before, text), self.budget, self.mend)
        self._count(tokens, 0)
        return Likelihood(mean, tokens)

    def prompt(self, request: Request) -> str:
        """The whole prompt as text, for a request with an opening; what the template already opened is not repeated."""
        before = self.template(request.messages[:-1])
        opened = before.rstrip().endswith("<think>")
        opening = request.opening.removeprefix("<think>").lstrip("\n") if opened else request.opening
        return before + opening

    async def post(self, path: str, body: Mapping[str, Any], tokens: int, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer to one request. One that it makes nothing of was paid for as well, as far as
        the server says."""
        answer = await self._sent(path, body, tokens)
        try:
            return read(answer)
        except Fault:
            if told := _told(answer):
                self._count(*told)
            raise

    async def _sent(self, path: str, body: Mapping[str, Any], tokens: int) -> Any:
        """Send one request when its turn has come, and wait as long as so many tokens may take."""
        sent = await self.pace.enter()
        share = 1 / int(self.pace.limit)
        try:
            answer = await self.wire.post(path, body, self.limits.seconds(tokens))
            self.pace.answered(sent, answer.queued)
        except Fault as fault:
            fault.sent, fault.share = sent, share
            if fault.refused:
                self.pace.refused(sent, fault.wait)
            elif fault.reason == "timeout":
                self.pace.cut(sent, LATE)
            elif fault.broken and self.mend:
                self.pace.hold()  # until it was mended
            raise
        finally:
            self.pace.leave()
        return answer.body

    async def close(self) -> None:
        self._closed = time.monotonic()
        await self.wire.close()

    @property
    def usage(self) -> Usage:
        """What was answered through it, that which could not be used, too."""
        return Usage(
            requests=self._requests, prompt_tokens=self._prompt_tokens, completion_tokens=self._completion_tokens
        )

    @property
    def hours(self) -> float:
        """How long it was there for us, the start of its server with it."""
        return ((self._closed or time.monotonic()) - self.opened) / 3600

    @abstractmethod
    async def offer(self) -> Offer:
        """What the server says of itself, as far as it can be read; Fault where it does not answer."""

    @abstractmethod
    async def _ask(self, request: Request) -> Reply: ...

    @abstractmethod
    async def _likelihood(self, before: str, text: str) -> tuple[int, float]: ...

    def _count(self, prompt: int, completion: int) -> None:
        self._requests += 1
        self._prompt_tokens += prompt
        self._completion_tokens += completion


def _told(answer: Any) -> tuple[int, int] | None:
    """Tokens of prompt and answer, as an OpenAI-compatible server says them."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    told = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    counts = [number for number in told if isinstance(number, int)]
    return (counts[0], counts[1]) if len(counts) == 2 else None
