"""The doors to a model, through the real clients, against a real server that misbehaves when told to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from pipelines.errors import SampleError
from pipelines.llm import Door, Limits, Reply, Request, pace, retries
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.public import Public
from pipelines.llm.replies import reply as read_reply
from pipelines.llm.tgi_door import TGIDoor
from pipelines.llm.wire import Direct
from pipelines.recipe import Sampling
from pipelines.records import Message
from tests import llm_server
from tests.llm_server import Script, serving

T = TypeVar("T")

USER = Message(role="user", content="Сколько будет 2 + 2?")
OPENING = Message(role="assistant", content="<think>\nДавайте")
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=77)
QUESTION = Request((USER,), SAMPLING, seed=11)
OPENED = Request((USER, OPENING), SAMPLING, seed=11)
RUBBISH = (
    "html", "truncated", "no-utf-8", "list", "null", "empty", "no-choices", "two-choices", "number-as-choice",
    "no-message", "number-as-content", "number-as-reasoning", "no-usage",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.0)
    monkeypatch.setattr(pace, "LONGEST_PAUSE", 0.0)


def template(messages: tuple[Message, ...]) -> str:
    return "".join(f"[{message.role}] {message.content}\n" for message in messages) + "[assistant]\n"


KEY = "sk-secret-0123456789"


def openai_door(url: str, **changed: Any) -> Door:
    return OpenAIDoor(Direct(url, KEY), "m", **{"template": template, "extensions": True, **changed})


def public_door(url: str, **changed: Any) -> Door:
    """The same door, through the client that openai publishes."""
    return OpenAIDoor(Public(url, KEY), "m", **{"template": template, "extensions": True, **changed})


def tgi_door(url: str, **changed: Any) -> Door:
    return TGIDoor(Direct(url.removesuffix("/v1"), KEY), "m", template, **changed)


ADDRESS: list[str] = []
SERVED = Script()
"""What the module's one server plays: `through` puts each test's script in its place."""


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with serving(SERVED) as url:
        ADDRESS.append(url)
        yield
    ADDRESS.clear()


Opener = Callable[[str], Door]
every = pytest.mark.parametrize("door", [openai_door, public_door, tgi_door])


def through(script: Script, use: Callable[[Door], Awaitable[T]], opened: Opener = openai_door) -> T:
    async def run(url: str) -> T:
        door = opened(url)
        try:
            return await use(door)
        finally:
            await door.close()

    vars(SERVED).update(vars(script))
    return asyncio.run(run(*ADDRESS))


def ask(script: Script, request: Request = QUESTION, opened: Opener = openai_door) -> Reply:
    return through(script, lambda door: door.ask(request), opened)


@every
def test_a_server_error_is_retried_and_gives_one_answer(door: Opener) -> None:
    script = Script(otherwise="four", faults=["500", "503"])
    assert ask(script, opened=door).text == "four"
    assert len(script.requests) == 3


@every
@pytest.mark.parametrize("status", ["400", "401", "403", "404", "413", "422"])
def test_a_refused_request_fails_at_once(status: str, door: Opener) -> None:
    script = Script(faults=[status])
    with pytest.raises(SampleError) as caught:
        ask(script, opened=door)
    assert (caught.value.reason, caught.value.attempts, len(script.requests)) == (f"http-{status}", 1, 1)


def test_a_refusal_says_what_the_server_said_in_one_line() -> None:
    with pytest.raises(SampleError, match="told to answer 400") as caught:
        ask(Script(faults=["400"]))
    assert "\n" not in str(caught.value)


@every
def test_a_lasting_server_error_fails_after_all_attempts(door: Opener) -> None:
    script = Script(faults=["503"] * 9)
    with pytest.raises(SampleError) as caught:
        ask(script, opened=door)
    assert (caught.value.reason, caught.value.attempts) == ("http-503", retries.ATTEMPTS)
    assert len(script.requests) == retries.ATTEMPTS


@every
@pytest.mark.parametrize("fault", RUBBISH)
def test_rubbish_is_retried(fault: str, door: Opener) -> None:
    script = Script(otherwise="four", faults=[fault])
    assert ask(script, opened=door).text == "four"
    assert len(script.requests) == 2


@every
@pytest.mark.parametrize("fault", RUBBISH)
def test_lasting_rubbish_is_a_bad_reply_and_never_an_answer(fault: str, door: Opener) -> None:
    script = Script(faults=[fault] * retries.ATTEMPTS)
    with pytest.raises(SampleError) as caught:
        ask(script, opened=door)
    assert (caught.value.reason, caught.value.attempts) == ("bad-reply", retries.ATTEMPTS)
    assert "\n" not in str(caught.value)


@every
@pytest.mark.parametrize("fault", ["html", "truncated", "list", "null", "empty"])
def test_rubbish_is_no_likelihood(fault: str, door: Opener) -> None:
    script = Script(faults=[fault] * retries.ATTEMPTS)
    with pytest.raises(SampleError) as caught:
        through(script, lambda opened: opened.likelihood((USER, OPENING)), door)
    assert (caught.value.reason, caught.value.attempts) == ("bad-reply", retries.ATTEMPTS)


@every
def test_a_dropped_connection_is_retried(door: Opener) -> None:
    script = Script(otherwise="four", faults=["drop"])
    assert ask(script, opened=door).text == "four"


@every
def test_a_lasting_loss_of_connection_says_so(door: Opener) -> None:
    with pytest.raises(SampleError) as caught:
        ask(Script(faults=["drop"] * retries.ATTEMPTS), opened=door)
    assert (caught.value.reason, caught.value.attempts) == ("connection", retries.ATTEMPTS)


@every
def test_a_server_that_is_not_there_is_a_lost_connection(door: Opener) -> None:
    async def asked() -> None:
        opened = door("http://127.0.0.1:1/v1")
        try:
            await opened.ask(QUESTION)
        finally:
            await opened.close()

    with pytest.raises(SampleError) as caught:
        asyncio.run(asked())
    assert caught.value.reason == "connection"


@every
def test_a_request_that_takes_too_long_is_a_timeout(door: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    with pytest.raises(SampleError, match="no answer within") as caught:
        ask(Script(delay=0.5), opened=lambda url: door(url, limits=Limits(start=0.05, token=0.0)))  # pyright: ignore[reportCallIssue]
    assert (caught.value.reason, caught.value.attempts) == ("timeout", 2)


@every
def test_each_token_that_is_asked_for_gives_a_request_more_time(door: Opener) -> None:
    limits = Limits(start=0.05, token=0.1)
    reply = ask(Script(delay=0.5, otherwise="four"), opened=lambda url: door(url, limits=limits))  # pyright: ignore[reportCallIssue]
    assert reply.text == "four"


@every
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_taken_from_its_own_field(field: str, door: Opener) -> None:
    chain = ask(Script(otherwise="Ответ: 4", message={field: "Два и два.\n"}), opened=door).chain()
    assert (chain.reasoning, chain.answer) == ("Два и два.", "Ответ: 4")


@every
def test_reasoning_is_taken_out_of_the_text(door: Opener) -> None:
    chain = ask(Script(otherwise="<think>\nДва и два.\n</think>\n\nОтвет: 4"), opened=door).chain()
    assert (chain.reasoning, chain.answer, chain.defects) == ("Два и два.", "Ответ: 4", ())


def test_a_closing_tag_alone_means_that_the_template_opened_the_block() -> None:
    chain = ask(Script(otherwise="Два и два.\n</think>\n\nОтвет: 4")).chain()
    assert (chain.reasoning, chain.answer, chain.defects) == ("Два и два.", "Ответ: 4", ())


def test_text_without_any_block_has_no_reasoning() -> None:
    assert ask(Script(otherwise="Ответ: 4")).chain().reasoning is None


@every
def test_every_request_carries_its_seed_and_asks_for_one_choice(door: Opener) -> None:
    script = Script()
    ask(script, opened=door)
    (sent,) = script.requests
    assert sent["seed"] == 11
    assert sent.get("n") is None
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.7, 0.9, 77)


def test_openai_itself_gets_only_what_it_knows() -> None:
    script = Script()
    request = Request((USER,), Sampling(repetition_penalty=1.2, max_tokens=77), seed=1)
    ask(script, request, lambda url: openai_door(url, extensions=False))
    (sent,) = script.requests
    assert sent["max_completion_tokens"] == 77
    assert not {"max_tokens", "repeat_penalty", "repetition_penalty"} & sent.keys()


def test_a_repetition_penalty_goes_to_servers_that_know_one() -> None:
    script = Script()
    ask(script, Request((USER,), Sampling(repetition_penalty=1.2), seed=1))
    assert (script.requests[0]["repeat_penalty"], script.requests[0]["repetition_penalty"]) == (1.2, 1.2)


def test_an_opening_is_sent_as_the_rendered_prompt_and_comes_back_in_the_text() -> None:
    script = Script(otherwise=" рассуждать.\n</think>\n\n4")
    reply = ask(script, OPENED)
    (sent,) = script.requests
    assert sent["prompt"] == template((USER,)) + OPENING.content
    assert "messages" not in sent
    assert sent["seed"] == 11
    assert reply.text == "<think>\nДавайте рассуждать.\n</think>\n\n4"
    assert reply.chain().reasoning == "Давайте рассуждать."


def test_tgi_gets_an_opening_through_its_native_api() -> None:
    script = Script(otherwise=" рассуждать.\n</think>\n\n4")
    reply = ask(script, OPENED, tgi_door)
    (sent,) = script.requests
    assert sent["inputs"] == template((USER,)) + OPENING.content
    assert sent["parameters"]["seed"] == 11
    assert sent["parameters"]["max_new_tokens"] == 77
    assert reply.text == "<think>\nДавайте рассуждать.\n</think>\n\n4"
    assert (reply.prompt_tokens, reply.completion_tokens) == (len(llm_server._tokens(sent["inputs"])), 5)


def test_a_block_that_the_template_opened_is_not_opened_twice() -> None:
    script = Script(otherwise=" дальше\n</think>\n4")
    reply = ask(script, OPENED, lambda url: openai_door(url, template=lambda _: "[assistant]\n<think>\n"))
    assert script.requests[0]["prompt"] == "[assistant]\n<think>\nДавайте"
    assert reply.chain().reasoning == "Давайте дальше"


@every
def test_likelihood_is_the_mean_over_the_response_alone(door: Opener) -> None:
    script = Script(logprobs={"prompt": -9.0, "good": -1.0, "bad": -3.0})
    messages = (Message(role="user", content="prompt prompt prompt"), Message(role="assistant", content="good bad"))
    found = through(script, lambda opened: opened.likelihood(messages), door)
    assert found.mean == pytest.approx(-2.0)
    assert found.tokens > 0


@every
def test_likelihood_without_log_probabilities_fails_at_once(door: Opener) -> None:
    script = Script(logprobs=None)
    with pytest.raises(SampleError) as caught:
        through(script, lambda opened: opened.likelihood((USER, OPENING)), door)
    assert (caught.value.reason, len(script.requests)) == ("no-logprobs", 1)


@every
def test_usage_counts_what_the_server_says_it_took_for_unusable_answers_too(door: Opener) -> None:
    async def use(opened: Door) -> tuple[int, int, int]:
        await opened.ask(QUESTION)
        await opened.ask(QUESTION)
        return opened.usage.requests, opened.usage.prompt_tokens, opened.usage.completion_tokens

    assert through(Script(faults=["500", "two-choices", "no-usage"]), use, door) == (3, 30, 15)


def test_a_reply_that_was_cut_off_says_so() -> None:
    used = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert read_reply("x", None, "length", used).finish_reason == "length"
    assert read_reply("x", None, None, used).finish_reason == "stop"


def test_a_schema_is_sent_as_structured_output() -> None:
    script = Script(score='{"score": 2}')
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    assert ask(script, Request((USER,), SAMPLING, 1, schema)).text == '{"score": 2}'
    assert script.requests[0]["response_format"]["json_schema"]["schema"] == schema
