"""The recipe's cap on money, tokens and hours: a run stops in order there, and a higher cap goes on from there."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import llm_server
import pytest
from rich.console import Console
from rows import prompt
from test_costs import tree

from pipelines import hub
from pipelines.__main__ import main
from pipelines.errors import BudgetSpent, RecipeError
from pipelines.facts import Facts, Spent, Usage
from pipelines.hub import part
from pipelines.recipe import Recipe, dump
from pipelines.records import Candidate, Judged, Prompt
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import generate, judge

EACH = 15
"""Tokens that the scripted model takes for an answer, prompt and answer together."""
PROBED = 2
"""Requests of the probe, which are paid for as any other."""


@pytest.fixture
def server() -> Iterator[tuple[llm_server.Script, str]]:
    script = llm_server.Script(otherwise="<think>Один и один.</think>Ответ: 2")
    with llm_server.serving(script) as url:
        yield script, url


@pytest.fixture
def start(hub_server: str, server: tuple[llm_server.Script, str], name: str) -> Callable[..., Run]:
    """A run of 10 prompts and 2 samples of each, that asks the scripted model 2 at a time."""
    connected = hub.connect(None)

    def started(**changed: Any) -> Run:
        public = {"kind": "openai", "model": "big", "url": server[1], "parallel": 2}
        engines = {"public": public, "served": {**public, "kind": "vllm"}}
        values = {"engines": engines, "prices": priced(server[1], 1000, 1000), **changed}
        given = tree(name, generate={"engine": "public", "samples": 2, "sampling": {"max_tokens": 1000}})
        return Run(Recipe.model_validate(given | values), connected, Screen(Console(file=io.StringIO(), width=300)))

    prompts(started())
    return started


def priced(url: str, *figures: float) -> dict[str, Any]:
    host = url.split("/")[2].rpartition(":")[0]
    return {"models": {f"{host}/big": dict(zip(("prompt", "completion"), figures, strict=True))}}


def prompts(run: Run) -> None:
    """Ten of them, published by a stage that took 40 tokens."""
    usage = Usage(requests=1, prompt_tokens=30, completion_tokens=10)
    rows = [prompt(number) for number in range(10)]
    made = Facts(
        stage="prompts", recipe="r", digest="d", complete=True, inputs=(), counts={"ru": {"sampled": 10, "good": 10}},
        usage=usage, spent=(Spent(model="big", usage=usage, dollars=0.04),), seconds=3600.0,
    )  # fmt: skip
    path, content = part("data", Prompt, rows, "ru")
    run.hub.create(run.prompts, "dataset", private=False)
    files = {path: content, "run/prompts.json": made.model_dump_json().encode()}
    run.hub.publish(run.prompts, "dataset", "prompts", files)


def made(run: Run) -> tuple[int, Facts]:
    snapshot = run.hub.snapshot(run.candidates, "dataset", "generate")
    assert snapshot
    assert snapshot.facts
    return len(list(run.hub.rows(snapshot, Candidate))), snapshot.facts


def test_a_run_stops_in_order_at_the_cap_and_goes_on_under_a_higher_one(
    start: Callable[..., Run], server: tuple[llm_server.Script, str]
) -> None:
    cap = 40 + (PROBED + 8) * EACH
    with pytest.raises(BudgetSpent, match=rf"the budget is used up: {cap} of {cap} tokens.*Raise budget\.tokens"):
        generate.run(start(budget={"tokens": cap}))
    rows, told = made(start())
    assert rows == 8
    assert not told.complete
    assert told.spent == (Spent(model="big", usage=told.usage, dollars=told.spent[0].dollars),)
    assert told.usage == Usage(requests=10, prompt_tokens=100, completion_tokens=50)
    assert len(server[0].requests) == 8

    generate.run(start(budget={"tokens": 1000}))
    rows, told = made(start())
    assert (rows, told.complete, told.usage.requests) == (20, True, 20 + 2 * PROBED)
    assert len(server[0].requests) == 20


def test_money_is_capped_by_what_tokens_cost_and_what_other_stages_took_counts(start: Callable[..., Run]) -> None:
    with pytest.raises(BudgetSpent, match=r"0\.13 of 0\.13 US dollars"):  # 0.04 before, then 0.015 each
        generate.run(start(budget={"dollars": 0.13}))
    rows, told = made(start())
    assert rows == 4
    assert told.spent[0].dollars == pytest.approx(0.09)


def test_where_nothing_is_left_nothing_is_asked_not_even_by_the_probe(
    start: Callable[..., Run], server: tuple[llm_server.Script, str]
) -> None:
    with pytest.raises(BudgetSpent, match=r"1 of 0\.5 hours"):
        generate.run(start(budget={"hours": 0.5}))
    assert (server[0].requests, server[0].probes) == ([], [])


def test_a_run_that_ends_within_the_cap_is_complete(start: Callable[..., Run]) -> None:
    run = start(budget={"tokens": 40 + (PROBED + 20) * EACH})
    generate.run(run)
    assert made(run)[1].complete
    generate.run(run)  # nothing is left to do, so nothing is refused


def test_what_was_spent_in_vain_is_told_too(start: Callable[..., Run], server: tuple[llm_server.Script, str]) -> None:
    server[0].good, server[0].faults = 19, ["400"]
    generate.run(start())
    told = made(start())[1]
    assert (told.failures, told.usage.requests) == (1, 19 + PROBED)
    server[0].faults = ["400"]
    server[0].good = 0
    generate.run(start())
    told = made(start())[1]
    assert (told.failures, told.usage.requests) == (1, 19 + 2 * PROBED)


def test_with_samples_in_waves_a_run_stops_at_the_cap_too(start: Callable[..., Run]) -> None:
    waves = {"engine": "public", "samples": 4, "adaptive": {"floor": 1, "target": 1, "give_up": 4}}
    with pytest.raises(BudgetSpent):
        generate.run(start(generate=waves, budget={"tokens": 40 + (PROBED + 10) * EACH}))
    assert made(start())[0] == 10


def test_a_cap_on_money_needs_a_price_for_all_that_is_asked(start: Callable[..., Run]) -> None:
    with pytest.raises(RecipeError, match=r"add prices\.models\.127\.0\.0\.1/big, with 0 for prompt"):
        generate.run(start(budget={"dollars": 1}, prices={}))
    engine = {"kind": "vllm", "model": "m", "url": "http://127.0.0.1:1/v1", "gpus": 8}
    with pytest.raises(RecipeError, match=r"name one of a100, h200 in prices\.gpu"):
        generate.run(start(budget={"dollars": 1}, engines={"public": engine, "served": engine}))


def test_the_command_line_says_it_in_a_line_and_ends_with_code_3(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THINKIN_RECIPE", dump(start(budget={"tokens": 100}).recipe))
    monkeypatch.setattr("sys.argv", ["thinkin", "generate"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_judges_that_are_asked_in_batches_give_the_scores_and_cost_their_share(
    start: Callable[..., Run], server: tuple[llm_server.Script, str]
) -> None:
    script, url = server
    script.answers = {
        f"Сколько будет {number} + 1": f"<think>К этому числу прибавим один.</think>Ответ: {number + 1}"
        for number in range(10)
    }
    public = {"kind": "openai", "model": "big", "url": url, "parallel": 2}
    cheap = {**public, "parallel": 100, "batch": True}
    prices = priced(url, 1000, 1000)
    next(iter(prices["models"].values()))["batch"] = 0.5
    judges = [{"kind": "rubric", "name": "logic", "engine": "served", "instruction": "logic.v1"}]
    run = start(engines={"public": public, "served": cheap}, judge={"judges": judges}, prices=prices)
    generate.run(run)
    judge.run(run)
    snapshot = run.hub.need(run.judged, "dataset", "judge")
    rows = list(run.hub.rows(snapshot, Judged))
    assert [row.scores[0].value for row in rows] == [4.0] * 20
    assert len(script.batches) == 1
    assert snapshot.facts
    (spent,) = snapshot.facts.spent
    tokens = spent.usage.prompt_tokens + spent.usage.completion_tokens
    assert spent.dollars == pytest.approx(tokens * 1e-3 / 2)
