"""The contract with a server, tried before the first paid request, through the real clients."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.errors import StageError
from pipelines.facts import Contract
from pipelines.llm import Door, probe, retries
from pipelines.llm.openai_door import OpenAIDoor
from pipelines.llm.probe import OPENING, Use
from pipelines.llm.public import Public
from pipelines.llm.tgi_door import TGIDoor
from pipelines.llm.wire import Direct
from pipelines.recipe import Engine, Sampling
from pipelines.records import Message
from tests import llm_server
from tests.llm_server import Script, serving

KEY = "sk-secret-0123456789"
SAMPLING = Sampling(max_tokens=500)
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
Opener = Callable[[str], Door]
ADDRESS: list[str] = []
SERVED = Script()
"""What the module's one server plays: `probed` puts each test's script in its place."""


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with serving(SERVED) as url:
        ADDRESS.append(url)
        yield
    ADDRESS.clear()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.0)


def template(messages: tuple[Message, ...]) -> str:
    return "".join(f"[{message.role}] {message.content}\n" for message in messages) + "[assistant]\n"


def openai_door(url: str) -> Door:
    return OpenAIDoor(Direct(url, KEY), "m", template, extensions=True)


def public_door(url: str) -> Door:
    return OpenAIDoor(Public(url, KEY), "m", template, extensions=False)


def tgi_door(url: str) -> Door:
    return TGIDoor(Direct(url.removesuffix("/v1"), KEY), "m", template)


every = pytest.mark.parametrize("door", [openai_door, public_door, tgi_door])


def probed(script: Script, use: Use, door: Opener = openai_door, **engine: Any) -> Contract:
    async def run(url: str) -> Contract:
        opened = door(url)
        try:
            told: dict[str, Any] = {"kind": "openai", "model": "m", "url": url, **engine}
            return await probe.probe(opened, Engine(**told), use)
        finally:
            await opened.close()

    vars(SERVED).update(vars(script))
    return asyncio.run(run(*ADDRESS))


def refused(script: Script, use: Use, door: Opener = openai_door, **engine: Any) -> str:
    with pytest.raises(StageError) as caught:
        probed(script, use, door, **engine)
    told = str(caught.value)
    assert "\n" not in told
    assert KEY not in told
    return told


@every
def test_a_good_server_is_found_to_do_all_that_it_is_asked(door: Opener) -> None:
    script = Script(models=[{"id": "m", "model_id": "m", "max_model_len": 4096, "max_total_tokens": 4096}])
    use = Use(SAMPLING, several=True, schema=SCHEMA, opening=True, likelihood=True, alternatives=True)
    found = probed(script, use, door)
    assert (found.seeds, found.schema_kept, found.opening) == (True, True, True)
    assert (found.likelihood, found.alternatives) == (True, True)
    assert (found.prefilled, found.context, found.served) == (False, 4096, None)
    assert len(script.probes) == 6
    assert script.requests == []


def test_the_server_of_the_tests_knows_the_question() -> None:
    assert probe.QUESTION.startswith(llm_server.QUESTION)


def test_only_what_a_stage_uses_is_tried() -> None:
    script = Script()
    found = probed(script, Use(SAMPLING))
    assert found == Contract(model="m", engine="openai")
    assert len(script.probes) == 1


@every
def test_a_wrong_model_is_one_line_with_the_models_that_there_are(door: Opener) -> None:
    script = Script(probe="404", models=[{"id": "a", "model_id": "a"}])
    told = refused(script, Use(SAMPLING, several=True, schema=SCHEMA, opening=True, likelihood=True), door)
    assert "serves no model 'm', only a" in told


def test_a_wrong_model_at_a_server_that_lists_none_is_one_line() -> None:
    assert "serves no model 'm', or is no address of an API" in refused(Script(probe="404"), Use(SAMPLING))


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_key_is_told_by_the_name_of_its_variable(status: str) -> None:
    told = refused(Script(probe=status), Use(SAMPLING), api_key="THE_VARIABLE")
    assert "refuses the key in THE_VARIABLE" in told
    assert "requests without a key" in refused(Script(probe=status), Use(SAMPLING))


def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it() -> None:
    assert "***" in refused(Script(probe="key"), Use(SAMPLING), api_key="THE_VARIABLE")


def test_a_server_that_is_not_there_is_one_line_at_once() -> None:
    async def run() -> None:
        door = openai_door("http://127.0.0.1:1/v1")
        try:
            engine = Engine(kind="openai", model="m", url="http://127.0.0.1:1/v1")
            await probe.probe(door, engine, Use(SAMPLING))
        finally:
            await door.close()

    with pytest.raises(StageError, match="nothing answers at http://127"):
        asyncio.run(run())


@every
@pytest.mark.parametrize("fault", ["two-choices", "no-choices", "html"])
def test_a_server_that_does_not_send_one_choice_stops_the_run(fault: str, door: Opener) -> None:
    assert "did not answer a first question as it should" in refused(Script(probe=fault), Use(SAMPLING), door)


def test_seeds_that_change_nothing_stop_a_stage_that_takes_several_samples() -> None:
    assert "the same text for every seed" in refused(Script(probe="same"), Use(SAMPLING, several=True))


def test_seeds_do_not_matter_where_one_sample_is_taken_or_none_is_drawn() -> None:
    assert probed(Script(probe="same"), Use(SAMPLING)).seeds is None
    greedy = Sampling(temperature=0.0)
    assert probed(Script(probe="same"), Use(greedy, several=True)).seeds is False


def test_an_answer_outside_the_schema_is_written_down() -> None:
    assert probed(Script(score="A hare."), Use(SAMPLING, schema=SCHEMA)).schema_kept is False
    assert probed(Script(score='{"other": 1}'), Use(SAMPLING, schema=SCHEMA)).schema_kept is False


def test_a_server_that_knows_no_schema_stops_a_judge() -> None:
    script = Script(probe="no-schema")
    assert "cannot keep to a JSON schema" in refused(script, Use(SAMPLING, schema=SCHEMA))


def test_a_server_without_log_probabilities_stops_a_judge_of_likelihood() -> None:
    assert "cannot say how likely a text is" in refused(Script(logprobs=None), Use(likelihood=True))


@every
@pytest.mark.parametrize("lack", [{"alternatives": None}, {"probe": "no-logprobs"}])
def test_a_server_without_log_probabilities_stops_a_judge_of_expected_scores(lack: Any, door: Opener) -> None:
    told = refused(Script(**lack), Use(SAMPLING, schema=SCHEMA, alternatives=True), door)
    assert "m at http" in told
    assert "cannot tell the log-probabilities of a score (`expected` of a judge)" in told


def test_a_server_without_completions_stops_a_stage_with_openings() -> None:
    assert "cannot go on from an opening" in refused(Script(probe="no-completions"), Use(SAMPLING, opening=True))


@every
def test_a_server_that_repeats_the_prompt_stops_a_stage_with_openings(door: Opener) -> None:
    if door is tgi_door:
        repeated = Script(otherwise=template((Message(role="user", content=probe.QUESTION),)) + OPENING)
    else:
        repeated = Script(otherwise=f"{OPENING} And so on.")
    assert "repeats the prompt" in refused(repeated, Use(SAMPLING, opening=True), door)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_the_field_of_the_reasoning_is_found(field: str) -> None:
    assert probed(Script(message={field: "A hare?"}), Use(SAMPLING)).reasoning == field


@pytest.mark.parametrize(("story", "prefilled"), [("<think>\nWell.\n</think>\nA", False), ("Well.\n</think>\nA", True)])
def test_reasoning_in_the_text_tells_who_opened_it(story: str, prefilled: bool) -> None:
    found = probed(Script(probe_story=story), Use(SAMPLING))
    assert (found.reasoning, found.prefilled) == ("inline", prefilled)


def test_max_tokens_beyond_the_context_stop_the_run() -> None:
    script = Script(models=[{"id": "m", "max_model_len": 400}])
    assert "takes 400 tokens" in refused(script, Use(SAMPLING))
    assert script.probes == []


def test_a_server_that_serves_something_else_under_any_name_is_written_down() -> None:
    script = Script(models=[{"model_id": "another/model"}])
    assert probed(script, Use(SAMPLING), tgi_door).served == "another/model"


def test_what_was_found_reads_as_one_line() -> None:
    found = Contract(model="m", engine="vllm", seeds=True, reasoning="reasoning", prefilled=True, context=8192)
    assert found.told == (
        "one choice per request, another seed gives another sample, its template opens the think block, "
        "reasoning in the field reasoning, 8192 tokens of context"
    )
