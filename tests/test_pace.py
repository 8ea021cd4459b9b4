"""How much a door asks for at a time, when it tries again, and when a run has failed too often."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipelines.diagnosis import FEWEST, TOO_MANY, WINDOW, CutOff, Watch, diagnosed
from pipelines.errors import SampleError, StageError
from pipelines.llm import Door, Limits, Request, pace, retries
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.pace import Pace
from pipelines.llm.retries import Budget
from pipelines.llm.wire import Direct, Fault
from pipelines.recipe import Sampling
from pipelines.records import Message
from tests.llm_server import Script, serving

SERVED = Script()
ADDRESS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with serving(SERVED) as url:
        ADDRESS.append(url)
        yield
    ADDRESS.clear()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.0)
    monkeypatch.setattr(pace, "LONGEST_PAUSE", 0.0)


def asked(script: Script, number: int, parallel: int) -> tuple[list[object], Door]:
    """So many samples through one door, each with its answer or its error."""

    async def run() -> tuple[list[object], Door]:
        door = OpenAIDoor(Direct(*ADDRESS, ""), "m", lambda _: "", True, Limits(parallel=parallel))
        messages = (Message(role="user", content="q"),)
        requests = (Request(messages, Sampling(), seed) for seed in range(number))
        try:
            return list(
                await asyncio.gather(*(door.ask(request) for request in requests), return_exceptions=True)
            ), door
        finally:
            await door.close()

    vars(SERVED).update(vars(script))
    return asyncio.run(run())


def failed(answers: list[object]) -> list[SampleError]:
    return [answer for answer in answers if isinstance(answer, SampleError)]


# --- what the server bears


def test_a_server_that_refuses_what_is_too_much_gets_as_much_as_it_bears_and_answers_all() -> None:
    script = Script(bears=5, delay=0.01, retry_after="")
    answers, door = asked(script, 200, 40)
    assert not failed(answers)
    assert door.usage.requests == 200
    assert SERVED.refused < 150  # each time too many, it would be 35 of 40
    assert door.pace.limit < 20


def test_a_refused_door_waits_as_long_as_the_server_says() -> None:
    answers, _ = asked(Script(faults=["429"], retry_after="0.3"), 1, 1)
    assert not failed(answers)
    first, second = SERVED.times[-2:]
    assert second - first >= 0.3


def test_the_wait_after_a_refusal_holds_for_all_that_come_through_the_door() -> None:
    async def run() -> float:
        limits = Pace(4)
        sent = await limits.enter()
        limits.refused(sent, 0.2)
        limits.leave()
        begin = time.monotonic()
        await limits.enter()
        return time.monotonic() - begin

    assert asyncio.run(run()) >= 0.19


def test_refusals_are_no_attempts_of_the_sample() -> None:
    answers, _ = asked(Script(faults=["429"] * 9, retry_after="0"), 1, 1)
    assert not failed(answers)


def test_a_server_that_asks_for_more_patience_than_there_is_fails_the_sample() -> None:
    (error,) = failed(asked(Script(faults=["429"], retry_after="86400"), 1, 1)[0])
    assert (error.reason, error.attempts) == ("http-429", 1)


def test_an_account_without_money_is_no_reason_to_wait() -> None:
    (error,) = failed(asked(Script(faults=["no-money"]), 1, 1)[0])
    assert (error.reason, error.attempts) == ("http-429", 1)
    assert "insufficient_quota" in str(error)


@pytest.mark.parametrize("said", ["2", "2.0", "date"])
def test_a_wait_is_read_as_a_number_and_as_a_date(said: str) -> None:
    from pipelines.llm.wire import refusal

    told = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if said == "date" else said
    wait = refusal(429, {"retry-after": told}, b"", "").wait
    assert wait is not None
    assert 0.5 < wait <= 2


@pytest.mark.parametrize("said", ["", "soon", "-1", "nan", "1e9"])
def test_a_wait_that_cannot_be_read_is_none(said: str) -> None:
    from pipelines.llm.wire import refusal

    assert refusal(429, {"retry-after": said}, b"", "").wait is None


def test_a_long_queue_in_the_server_lowers_what_is_in_flight() -> None:
    _, door = asked(Script(queued="5000"), 100, 40)
    assert door.pace.limit < 40
    _, door = asked(Script(queued="5"), 100, 40)
    assert door.pace.limit == 40


def test_one_burst_counts_once_and_answers_raise_the_limit_again() -> None:
    async def run() -> list[float]:
        limits = Pace(100)
        sent = [await limits.enter() for _ in range(100)]
        for one in sent:
            limits.cut(one, 0.5)
        seen = [limits.limit]
        for _ in range(50):
            limits.leave()
        for _ in range(200):
            limits.answered(time.monotonic(), 0.0)
        return [*seen, limits.limit]

    low, high = asyncio.run(run())
    assert low == 50
    assert low < high <= 100


def test_one_who_gives_up_waiting_takes_nobodys_turn() -> None:
    async def run() -> None:
        limits = Pace(1)
        await limits.enter()
        quitter, patient = (asyncio.create_task(limits.enter()) for _ in range(2))
        await asyncio.sleep(0)
        quitter.cancel()
        await asyncio.sleep(0)
        limits.leave()
        await patient
        assert limits.flying == 1

    asyncio.run(run())


# --- retries


def test_a_failure_tells_the_whole_story() -> None:
    faults = ["500", "html", "two-choices", "503", "drop"]
    (error,) = failed(asked(Script(faults=faults), 1, 1)[0])
    assert error.attempts == 5
    for told in ("told to answer 500", "no JSON", "2 choices", "told to answer 503", "given up"):
        assert told in str(error)
    assert "\n" not in str(error)


def test_where_much_fails_samples_are_tried_once() -> None:
    answers, door = asked(Script(faults=["500"] * 1000), 100, 10)
    errors = failed(answers)
    assert len(errors) == 100
    assert sum(error.attempts for error in errors) <= 100 + 50
    assert sum("not tried again" in str(error) for error in errors) > 50
    assert door.usage.requests == 0


def test_a_lost_connection_takes_nothing_of_the_budget() -> None:
    budget = Budget(50)
    assert all(budget.take(Fault("connection", "")) for _ in range(1000))
    assert [budget.take(Fault("timeout", "")) for _ in range(51)] == [True] * 50 + [False]
    for _ in range(10):
        budget.earn()
    assert budget.take(Fault("timeout", ""))


# --- answers of any kind


def test_an_answer_of_two_megabytes_is_read() -> None:
    (reply,), _ = asked(Script(otherwise="я" * 1_000_000), 1, 1)
    assert len(reply.text) == 1_000_000  # pyright: ignore[reportAttributeAccessIssue]


def test_an_answer_that_would_fill_the_memory_is_a_bad_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.llm.connections.LARGEST", 100_000)
    (error,) = failed(asked(Script(otherwise="я" * 100_000), 1, 1)[0])
    assert error.reason == "bad-reply"


def test_a_model_that_loops_to_its_limit_is_told_by_its_chain() -> None:
    from pipelines import chains

    (reply,), _ = asked(Script(otherwise="<think>\n" + "и снова то же самое, " * 500, finish="length"), 1, 1)
    found = chains.defects(reply.chain(), reply.finish_reason)  # pyright: ignore[reportAttributeAccessIssue]
    assert {"loop", "unclosed", "truncated"} <= set(found)


# --- a run that fails too often


def test_a_run_in_which_most_samples_fail_stops_with_what_to_do() -> None:
    watch = Watch()
    for _ in range(FEWEST - 1):
        watch.failed("http-401", "HTTP 401: wrong key")
    with pytest.raises(StageError, match=r"20 of the last 20 samples failed .20 x http-401.*the engine's `api_key`"):
        watch.failed("http-401", "HTTP 401: wrong key")


def test_a_run_in_which_half_of_the_samples_fail_goes_on() -> None:
    watch = Watch()
    for _ in range(1000):
        watch.succeeded()
        watch.failed("http-500", "x")


def test_a_run_that_begins_to_fail_after_a_long_time_stops() -> None:
    watch = Watch()
    for _ in range(1000):
        watch.succeeded()
    for _ in range(int(TOO_MANY * WINDOW)):
        watch.failed("connection", "x")
    with pytest.raises(StageError):
        watch.failed("connection", "x")


@pytest.mark.parametrize(
    ("reason", "last", "told"),
    [
        ("connection", "refused", "the server is gone"),
        ("timeout", "no answer", "`token_timeout`"),
        ("http-403", "no", "`api_key`"),
        ("http-404", "no", "`model`"),
        ("http-400", "maximum context length is 4096 tokens", "lower max_tokens"),
        ("http-400", "unknown field", "refuses what it is asked"),
        ("http-429", "slow down", "the account's limits"),
        ("http-502", "bad gateway", "look at its log"),
        ("bad-reply", "html", "`kind` and `url`"),
        ("something-new", "x", "The last one: x"),
    ],
)
def test_each_reason_has_its_advice_in_one_line(reason: str, last: str, told: str) -> None:
    line = diagnosed(Counter({reason: 9, "other": 1}), last)
    assert told.lower() in line.lower()
    assert line.endswith(f"The last one: {last}")


def test_a_teacher_that_is_always_cut_off_stops_the_run_and_one_that_ends_now_and_then_does_not() -> None:
    good, bad = CutOff(100), CutOff(100)
    for number in range(1000):
        good.ended("stop" if number % 10 == 0 else "length")
    for _ in range(WINDOW - 1):
        bad.ended("length")
    with pytest.raises(StageError, match=r"raise sampling\.max_tokens"):
        bad.ended("length")
