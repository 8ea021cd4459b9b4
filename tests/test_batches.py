"""Judges through a provider's batch API: a file of requests, waited for, found again by a run that starts anew."""

import asyncio
from collections.abc import Callable, Iterator

import llm_server
import pytest

from pipelines.errors import SampleError
from pipelines.llm import Reply, Request
from pipelines.llm.batches import Batches
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.prices import TokenPrice
from pipelines.recipe import Engine, Sampling
from pipelines.records import Message

Opener = Callable[[], OpenAIDoor]


@pytest.fixture
def script() -> llm_server.Script:
    return llm_server.Script(otherwise="")  # it repeats what it is asked


@pytest.fixture
def opened(script: llm_server.Script) -> Iterator[Opener]:
    with llm_server.serving(script) as url:

        def door(name: str = "recipe") -> OpenAIDoor:
            return OpenAIDoor(Batches(url, "a-long-key", name, said.append), "m", str, False)

        said = list[str]()
        yield door


def request(text: str, seed: int = 0) -> Request:
    return Request((Message(role="user", content=text),), Sampling(max_tokens=10), seed)


async def asked(door: OpenAIDoor, *texts: str) -> list[Reply]:
    try:
        return list(await asyncio.gather(*(door.ask(request(text)) for text in texts)))
    finally:
        await door.close()


def test_what_is_asked_together_is_one_batch_and_each_gets_its_own_answer(
    script: llm_server.Script, opened: Opener
) -> None:
    texts = [f"question {number}" for number in range(8)]
    replies = asyncio.run(asked(opened(), *texts))
    assert [reply.text for reply in replies] == texts
    (batch,) = script.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    assert batch["metadata"] == {"thinkin": "recipe"}
    assert len(script.requests) == 8


def test_a_run_that_starts_anew_waits_for_its_batch_and_sends_only_what_is_missing(
    script: llm_server.Script, opened: Opener
) -> None:
    script.batches_wait = True

    async def stopped() -> None:
        door = opened()
        work = asyncio.gather(door.ask(request("one")), door.ask(request("two")))
        await asyncio.to_thread(script.asked.wait, 10)
        work.cancel()
        await door.close()

    asyncio.run(stopped())
    script.batches_wait = False
    replies = asyncio.run(asked(opened(), "one", "two", "three"))
    assert [reply.text for reply in replies] == ["one", "two", "three"]
    assert len(script.batches) == 2
    assert sorted(body["messages"][0]["content"] for body in script.requests) == ["one", "three", "two"]


def test_another_recipes_batches_are_left_alone(script: llm_server.Script, opened: Opener) -> None:
    asyncio.run(asked(opened(), "one"))
    asyncio.run(asked(opened("another"), "one"))  # pyright: ignore[reportCallIssue]
    assert len(script.requests) == 2


def test_a_line_that_failed_is_asked_again_in_a_batch_of_its_own(script: llm_server.Script, opened: Opener) -> None:
    script.spoiled = 1
    replies = asyncio.run(asked(opened(), "one", "two"))
    assert [reply.text for reply in replies] == ["one", "two"]
    assert (len(script.batches), len(script.requests)) == (2, 3)


def test_a_batch_that_ran_out_of_time_is_sent_again(script: llm_server.Script, opened: Opener) -> None:
    script.batch_ends = ["expired"]
    assert [reply.text for reply in asyncio.run(asked(opened(), "one"))] == ["one"]
    assert len(script.batches) == 2


def test_a_batch_that_the_provider_refuses_fails_its_samples_in_its_words(
    script: llm_server.Script, opened: Opener
) -> None:
    script.batch_ends = ["failed"]
    with pytest.raises(SampleError, match=r"ended as failed without an answer: told to fail"):
        asyncio.run(asked(opened(), "one"))
    assert len(script.batches) == 1


def test_a_batch_costs_its_share_and_is_for_openai_alone() -> None:
    known = Engine(kind="openai", model="gpt-4o", url="https://api.openai.com/v1", batch=True)
    from pipelines.prices import shipped

    price = known.token_price(shipped())
    assert price
    assert (price.prompt, price.completion) == (1.25, 5.0)
    assert TokenPrice(prompt=1, completion=2).batched().completion == 2
    with pytest.raises(ValueError, match="batch is for kind openai"):
        Engine(kind="vllm", model="m", batch=True)
