"""The contract with a server, tried before anything is paid for.

Servers differ in what they do with the same words: some ignore seeds, schemas or unknown options without a word, and
each has its own place for the reasoning. What a stage relies on is asked for once, in a few short requests of the very
kind that it is going to send. What would spoil every sample stops the run with one line; the rest is written in the
run's facts.
"""

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipelines.errors import SampleError, StageError
from pipelines.facts import Contract
from pipelines.llm import Door, Offer, Reply, Request
from pipelines.llm.wire import Fault
from pipelines.recipe import Engine, Sampling
from pipelines.records import Message

QUESTION = "Invent a short story of two sentences about an animal of your choice."
"""No two answers with different seeds are the same by chance."""
OPENING = "<think>\nLet me think of an animal."
SHORT, LONG = 64, 1024
"""Tokens for an answer; for one whose end has to be seen, since a think block may be long."""
SEEDS = 4
"""Answers that have to be the same, letter by letter, before the seeds count as ignored."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Use:
    """What a stage is going to ask of an engine: only that is tried."""

    sampling: Sampling | None = None
    """How texts are sampled; None where none are."""
    several: bool = False
    """Whether it takes several samples of a prompt, which have to differ."""
    schema: Mapping[str, Any] | None = None
    opening: bool = False
    likelihood: bool = False
    alternatives: bool = False
    """Whether log-probabilities are needed of what it writes into the schema."""


async def probe(door: Door, engine: Engine, use: Use) -> Contract:
    """What the server does. StageError, in one line, where the stage could not go on with that."""
    offer = await _offer(door, engine)
    served = offer.models[0] if len(offer.models) == 1 and offer.models[0] not in (door.model, engine.model) else None
    found = Contract(model=engine.model, engine=engine.kind, context=offer.context, served=served)
    tried = _Tried(door, engine, offer, use)
    if use.sampling:
        _fits(use.sampling, offer, engine)
        found = found.model_copy(update=await tried.texts())
    wanted = (
        (use.opening, tried.opening),
        (use.schema, tried.schema),
        (use.likelihood, tried.likelihood),
        (use.alternatives, tried.alternatives),
    )
    for what in await _together(*(attempt() for used, attempt in wanted if used)):
        found = found.model_copy(update=what)
    return found


async def _offer(door: Door, engine: Engine) -> Offer:
    try:
        return await door.offer()
    except Fault as fault:
        if fault.reason in ("connection", "timeout"):
            raise StageError(
                f"nothing answers at {door.wire.url}, where {engine.model} should be served: start that server, or "
                f"correct the engine's url ({fault})"
            ) from None
        return Offer((), None)  # not every API lists its models


def _fits(sampling: Sampling, offer: Offer, engine: Engine) -> None:
    if offer.context is not None and sampling.max_tokens >= offer.context:
        raise StageError(
            f"max_tokens is {sampling.max_tokens}, and the server of {engine.model} takes {offer.context} tokens, "
            "prompt and answer together: lower max_tokens, or serve the model with a longer context"
        )


@dataclass(frozen=True, slots=True)
class _Tried:
    door: Door
    engine: Engine
    offer: Offer
    use: Use

    @property
    def _sampling(self) -> Sampling:
        assert self.use.sampling
        return self.use.sampling

    async def texts(self) -> dict[str, Any]:
        """Whether two samples differ, and where the reasoning is."""
        several = self.use.several
        replies = await self._ask([1, 2] if several else [1], SHORT)
        if several and _place(replies) is None and all(reply.finish_reason == "length" for reply in replies):
            replies = await self._ask([1, 2], LONG)
        differ = len(set(replies)) > 1 if several else None
        if several and not differ and self._sampling.temperature > 0:
            more = await self._ask(list(range(3, SEEDS + 1)), SHORT)
            differ = len({(reply.reasoning or reply.text)[:SHORT] for reply in (*replies, *more)}) > 1
            if not differ:
                raise StageError(
                    f"{self.engine.model} at {self.door.wire.url} gives the same text for every seed, so that all "
                    "samples of a prompt would be one: serve it without a cache of answers, or take one sample"
                )
        return {"seeds": differ, "reasoning": _place(replies), "prefilled": _prefilled(replies)}

    async def opening(self) -> dict[str, Any]:
        messages = Message(role="user", content=QUESTION), Message(role="assistant", content=OPENING)
        request = self._request(3, SHORT, messages)
        reply = await self._heard(self.door.ask(request), "go on from an opening")
        written = reply.text.removeprefix(OPENING).lstrip()
        if written.startswith((OPENING, self.door.prompt(request).strip())):
            raise StageError(
                f"{self.engine.model} at {self.door.wire.url} repeats the prompt in its answer, so that an opening "
                "would stand in every text twice: use an instruction without an opening, or another engine"
            )
        return {"opening": True, "prefilled": self.door.template(messages[:1]).rstrip().endswith("<think>")}

    async def schema(self) -> dict[str, Any]:
        schema = self.use.schema or {}
        request = replace(self._request(4, SHORT), schema=schema)
        reply = await self._heard(self.door.ask(request), "keep to a JSON schema")
        try:
            answer = json.loads(reply.text)
        except ValueError:
            answer = None
        return {"schema_kept": isinstance(answer, dict) and set(schema.get("required", ())) <= answer.keys()}

    async def likelihood(self) -> dict[str, Any]:
        messages = Message(role="user", content=QUESTION), Message(role="assistant", content="A hare sat in a field.")
        await self._heard(self.door.likelihood(messages), "say how likely a text is")
        return {"likelihood": True}

    async def alternatives(self) -> dict[str, Any]:
        request = replace(self._request(5, SHORT), schema=self.use.schema, alternatives=True)
        await self._heard(self.door.ask(request), "tell the log-probabilities of a score (`expected` of a judge)")
        return {"alternatives": True}

    async def _ask(self, seeds: list[int], tokens: int) -> list[Reply]:
        return await _together(*(self._heard(self.door.ask(self._request(seed, tokens))) for seed in seeds))

    def _request(self, seed: int, tokens: int, messages: tuple[Message, ...] | None = None) -> Request:
        most = min(tokens, (self.offer.context or self.engine.context) // 2)
        sampling = self._sampling.model_copy(update={"max_tokens": most})
        return Request(messages or (Message(role="user", content=QUESTION),), sampling, seed)

    async def _heard(self, answer: Awaitable[T], able: str = "") -> T:
        """The answer to a first question; a StageError that says what to do where there is none."""
        try:
            return await answer
        except SampleError as error:
            # OpenAI refuses log-probabilities of some models as if the key were wrong
            reason = "no-logprobs" if able and "logprobs" in str(error) else error.reason
            raise StageError(f"{self._todo(reason, able)} ({error})") from None

    def _todo(self, reason: str, able: str) -> str:
        url, engine, models = self.door.wire.url, self.engine, self.offer.models
        match reason:
            case "http-401" | "http-403":
                given = f"the key in {engine.api_key}" if engine.api_key else "requests without a key"
                return f"{url} refuses {given}: let the engine's api_key name a variable that holds a good one"
            case _ if able and (reason.startswith("http-4") or reason == "no-logprobs"):
                return f"{engine.model} at {url} cannot {able}: this stage needs an engine that can"
            case "http-404" if models and self.door.model not in models:
                return f"{url} serves no model {engine.model!r}, only {_some(models)}: correct the engine's model"
            case "http-404":
                return f"{url} serves no model {engine.model!r}, or is no address of an API: correct the engine"
            case _:
                return f"{engine.model} at {url} did not answer a first question as it should"


async def _together(*tries: Coroutine[Any, Any, T]) -> list[T]:
    """All of them at the same time; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in tries]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _place(replies: list[Reply]) -> str | None:
    """Where the reasoning arrives: the name of a field, or inline."""
    fields = [reply.field for reply in replies if reply.field]
    inline = any("<think>" in reply.text or "</think>" in reply.text for reply in replies)
    return fields[0] if fields else "inline" if inline else None


def _prefilled(replies: list[Reply]) -> bool | None:
    texts = [reply.text for reply in replies if not reply.field]
    if any("<think>" in text for text in texts):
        return False
    return True if any("</think>" in text for text in texts) else None
