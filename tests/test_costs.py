"""What a run will cost, before it is run: from facts on a running Hub where there are any, else the most it can be."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipelines import hub, judges, plan, prices, recipes
from pipelines.errors import RecipeError
from pipelines.facts import Facts, Spent, Usage
from pipelines.flow.spending import cost
from pipelines.plan.overview import markdown
from pipelines.recipe import Engine, Recipe, Stage
from pipelines.run import Run
from pipelines.screen import Screen

PRICE = {"prompt": 2.0, "completion": 10.0}
SERVED = {"kind": "vllm", "model": "acme/Teacher-7B", "parallel": 4, "arguments": {"tensor-parallel-size": 2}}
PUBLIC = {"kind": "openai", "model": "big", "url": "https://api.example.com/v1"}


def tree(name: str, **changed: Any) -> dict[str, Any]:
    problems = {"kind": "problems", "families": ["ages"], "rows": 100}
    return {
        "name": name,
        "languages": ["ru"],
        "engines": {"public": PUBLIC, "served": SERVED},
        "prices": {"models": {"api.example.com/big": PRICE}},
        "prompts": {"sources": [problems, {"kind": "gym", "task": "chain_sum", "rows": 50}], "translate": TRANSLATE},
        "generate": {"engine": "served", "samples": 4, "sampling": {"max_tokens": 1000}},
        "judge": {"judges": [{"kind": "rubric", "name": "logic", "engine": "public", "instruction": "logic.v1"}]},
        "train": {"student": "acme/student-1.5b", "sft": {"num_train_epochs": 2}},
        "evaluate": {
            "engine": "served",
            "samples": 2,
            "sampling": {"max_tokens": 1000},
            "ways": [
                {"name": "base", "model": "base", "instruction": "plain.v1"},
                {"name": "trained", "model": "trained", "instruction": "plain.v1"},
            ],
            "benchmarks": [{"name": "b", "source": {**problems, "rows": 30}}],
        },
        **changed,
    }


TRANSLATE = {"engine": "public", "max_tokens": 500}


@pytest.fixture
def start(hub_server: str, name: str) -> Callable[..., Run]:
    connected = hub.connect(None)

    def started(**changed: Any) -> Run:
        return Run(Recipe.model_validate(tree(name, **changed)), connected, Screen(Console(file=io.StringIO())))

    return started


def told(run: Run, stage: Stage, counts: dict[str, int], spent: Spent, **changed: Any) -> None:
    """Put the facts of an earlier run on the Hub."""
    repo, kind = run.written(stage)
    values: dict[str, Any] = {"digest": "another", "complete": True, "inputs": (), **changed}
    made = Facts(stage=stage, recipe="r", counts={"ru": counts}, usage=spent.usage, spent=(spent,), **values)
    run.hub.create(repo, kind, private=False)
    run.hub.publish(repo, kind, "a pilot", {f"run/{stage}.json": made.model_dump_json().encode()})


def by_stage(run: Run) -> dict[Stage, plan.Estimate]:
    return {one.stage: one for one in plan.estimate(run)}


def used(requests: int, prompt: int, completion: int) -> Usage:
    return Usage(requests=requests, prompt_tokens=prompt, completion_tokens=completion)


def test_without_a_pilot_a_plan_is_the_most_that_it_can_be(start: Callable[..., Run]) -> None:
    found = by_stage(start())
    assert {stage: one.rows for stage, one in found.items()} == {
        "prompts": 150, "generate": 600, "judge": 600, "choose": 600, "train": 150, "evaluate": 120,
    }  # fmt: skip
    assert found["prompts"].total.usage == used(50, 50 * plan.QUESTION, 50 * 500)  # 100 are written in Russian
    assert found["generate"].total.usage == used(600, 600 * plan.QUESTION, 600_000)
    assert found["judge"].total.usage == used(600, 600 * (plan.QUESTION + 1000), 600 * judges.RUBRIC_TOKENS)
    assert found["evaluate"].total.usage == used(120, 120 * plan.QUESTION, 120_000)
    assert found["choose"].spent == ()
    assert {one.measured for one in found.values()} == {None}


def test_a_pilot_tells_the_tokens_of_a_request_and_what_passes(start: Callable[..., Run]) -> None:
    run = start()
    told(run, "prompts", {"sampled": 20, "translated": 10, "good": 18}, Spent(model="big", usage=used(10, 2000, 1000)))
    told(run, "generate", {"generated": 72}, Spent(model="acme/Teacher-7B", usage=used(72, 7200, 14400)))
    counts = {"generated": 72, "structure": 72, "language": 60, "answer": 36, "logic": 30}
    told(run, "judge", counts, Spent(model="big", usage=used(36, 3600, 360)))
    told(run, "choose", {**counts, "chosen": 9}, Spent(model="none"))
    found = by_stage(run)
    assert found["prompts"].total.usage == used(50, 10_000, 5_000)
    assert found["generate"].rows == 4 * 135
    assert found["generate"].total.usage == used(540, 54_000, 108_000)
    assert found["judge"].total.usage == used(270, 27_000, 2_700)  # half of them come as far as the judge
    assert found["train"].rows == 68  # 9 of 72
    assert found["judge"].measured == 36
    assert found["evaluate"].measured is None
    assert found["prompts"].total.dollars == pytest.approx(10_000 * 2e-6 + 5_000 * 10e-6)


def test_what_is_done_costs_nothing_more(start: Callable[..., Run]) -> None:
    run = start()
    told(
        run,
        "generate",
        {"generated": 540},
        Spent(model="m", usage=used(540, 1, 1)),
        digest=run.recipe.digest("generate"),
    )
    found = by_stage(run)["generate"]
    assert (found.done, found.rows, found.spent) == (True, 540, ())
    assert "it is done" in markdown(run)


def test_a_limit_is_for_each_language_and_for_each_benchmark(start: Callable[..., Run]) -> None:
    found = by_stage(start(limit=10, languages=["ru", "en"]))
    assert found["prompts"].rows == 20
    assert found["evaluate"].rows == 2 * 10 * 2 * 2


def test_gpu_hours_are_those_of_a_pilot_that_filled_its_server_and_else_worked_out(start: Callable[..., Run]) -> None:
    run = start()
    hours = by_stage(run)["generate"].total.gpu_hours
    operations = 2 * 7e9 * 600 * (plan.QUESTION + 1000)
    assert hours == pytest.approx(operations / (312e12 * plan.SERVING) / 3600)
    full = Spent(model="acme/Teacher-7B", usage=used(100, 100, 100), gpu_hours=3.0)
    told(run, "generate", {"generated": 100}, full)
    assert by_stage(run)["generate"].total.gpu_hours == pytest.approx(18.0)
    assert by_stage(run)["prompts"].total.gpu_hours == 0


def test_gpu_hours_have_a_price_where_the_recipe_names_the_gpu(start: Callable[..., Run]) -> None:
    assert by_stage(start())["generate"].total.dollars is None
    run = start(prices={"gpu": "h200"})
    spent = by_stage(run)["generate"].total
    assert spent.gpu_hours
    assert spent.dollars == pytest.approx(5.0 * spent.gpu_hours)
    assert by_stage(run)["judge"].total.dollars is None
    assert "no price is known; add it as `prices.models.api.example.com/big`" in markdown(run)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("Qwen/Qwen3-32B", 32e9),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", 70e9),
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", 0.5e9),
        ("Qwen/Qwen3-235B-A22B", 22e9),
        ("gpt-4o", None),
        ("acme/8bit-model", None),
    ],
)
def test_a_models_size_is_read_from_its_name(model: str, size: float | None) -> None:
    assert plan.parameters(model) == size


def test_the_table_adds_up_and_names_where_prices_stand(start: Callable[..., Run]) -> None:
    text = markdown(start(), ("prompts", "judge"))
    lines = text.splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["prompts", "judge", "all"]
    cells = [cell.strip() for cell in lines[4].split("|")]
    assert cells[3:7] == ["650", "795,000", "63,400", "2.22"]
    assert "2 and 10 US dollars for a million tokens in and out (from the recipe)" in text


def test_every_shipped_price_has_its_source_and_its_date() -> None:
    known = prices.shipped()
    figures = [*known.models.values(), *known.gpus.values()]
    assert figures
    assert all(one.source.startswith("https://") and one.date for one in figures)
    gpt = recipes.load("lightblue").engines["gpt-4o"]
    assert gpt.token_price(known)


def test_a_recipes_prices_stand_above_those_of_the_house() -> None:
    given = prices.Prices.model_validate({"models": {"api.openai.com/gpt-4o": {"prompt": 1, "completion": 2}}})
    known = given.complete()
    assert known.models["api.openai.com/gpt-4o"].completion == 2
    assert known.models.keys() == prices.shipped().models.keys()
    engine = Engine(kind="openai", model="gpt-4o", url="https://api.openai.com/v1")
    assert cost(known, engine, used(1, 1_000_000, 500_000), 0.0) == pytest.approx(2.0)
    assert cost(known, engine.model_copy(update={"model": "unheard-of"}), used(1, 1, 1), 0.0) is None


def test_a_gpu_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"prices: gpu names 'h1', and gpus knows: a100, h200"):
        recipes.load(yaml.safe_dump(tree("n")), ["prices.gpu=h1"])


def test_prices_decide_no_row() -> None:
    plain, dear = recipes.load("russian"), recipes.load("russian", ["prices.gpu=h200"])
    assert plain.digest("generate") == dear.digest("generate")


def test_a_card_of_a_data_set_tells_how_many_rows_there_are(start: Callable[..., Run], name: str) -> None:
    run = start()
    repo = run.hub.repo(f"{name}-source")
    splits = [{"name": "train", "num_examples": 7}, {"name": "test", "num_examples": 5}]
    front = yaml.safe_dump({"dataset_info": [{"config_name": "ru", "splits": splits}, {"config_name": "en"}]})
    run.hub.create(repo, "dataset", private=False)
    run.hub.publish(repo, "dataset", "a card", {"README.md": f"---\n{front}---\n".encode()})
    source = {"kind": "hub", "id": repo, "config": "{language}", "split": "test", "text": "t", "language": "{language}"}
    assert by_stage(start(prompts={"sources": [source]}))["prompts"].rows == 5
    nowhere = {**source, "id": f"{repo}-nowhere"}
    assert by_stage(start(prompts={"sources": [nowhere]}))["prompts"].rows == plan.ROWS


def test_a_file_of_prices_is_read_and_a_wrong_one_is_one_line(tmp_path: Path, hub_server: str, name: str) -> None:
    from typer.testing import CliRunner

    from pipelines.__main__ import app

    recipe, file = tmp_path / "recipe.yaml", tmp_path / "prices.yaml"
    recipe.write_text(yaml.safe_dump(tree(name)), "utf-8")
    file.write_text("models: {api.example.com/big: {prompt: 1000, completion: 0}}\n", "utf-8")
    asked = ["plan", str(recipe), "--from", "prompts", "--to", "prompts", "--prices"]
    shown = CliRunner().invoke(app, [*asked, str(file)], catch_exceptions=False).output
    assert "1000 and 0 US dollars" in shown
    assert f"{50 * plan.QUESTION * 1e-3:.2f}" in shown
    file.write_text("modles: {}\n", "utf-8")
    with pytest.raises(RecipeError, match=r"prices\.modles: unknown key; allowed here: gpu, gpus, models"):
        CliRunner().invoke(app, [*asked, str(file)], catch_exceptions=False)
