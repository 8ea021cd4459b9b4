"""formats.py: other programs find the chosen rows in the columns that they know, whatever becomes of the rows."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard
from rich.console import Console
from test_cards import parsed
from test_choose import judged

from pipelines import hub
from pipelines.facts import Facts
from pipelines.hub import part
from pipelines.recipe import Recipe
from pipelines.records import Conversation, Judged
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import choose

# As the reference's own card states them.
COLUMNS = {
    "en_prompt": "string",
    "dataset_name": "string",
    "language": "string",
    "translated_prompt_raw": "string",
    "num_tokens": "int64",
    "translated_prompt": "string",
    "is_valid_prompt": "bool",
    "row_id": "int64",
    "res_finish_reason": "string",
    "response": "string",
    "is_valid_think": "bool",
    "is_valid_res": "bool",
    "think_lang": "string",
    "res_lang": "string",
    "think_fluency": "float64",
    "prompt_think_lang_correct": "bool",
    "answer_correctness": "float64",
}


@pytest.fixture
def start(hub_server: str, name: str) -> Callable[..., Run]:
    """A run whose judged rows are published."""
    connected = hub.connect(None)
    source = {"kind": "problems", "families": ["ages"], "rows": 1}
    tree: dict[str, Any] = {
        "name": name,
        "languages": ["ru", "de"],
        "engines": {"e": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:1/v1"}},
        "prompts": {"sources": [source]},
        "generate": {"engine": "e"},
        "judge": {"judges": [{"kind": "rubric", "name": "fluency", "engine": "e", "instruction": "fluency.v1"}]},
        "train": {"student": "a/b"},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": source}],
        },
    }

    def started(rows: Sequence[Judged], **changed: Any) -> Run:
        run = Run(Recipe.model_validate(tree | changed), connected, Screen(Console(file=io.StringIO())))
        connected.create(run.judged, "dataset", private=False)
        told = Facts(stage="judge", recipe=name, digest="d", complete=True, inputs=())
        files = {"run/judge.json": told.model_dump_json().encode()}
        for language in {row.prompt.language for row in rows}:
            there = [row for row in rows if row.prompt.language == language]
            files |= dict([part("data", Judged, there, language)])
        before = connected.snapshot(run.judged, "dataset")
        old = before.parts("data") if before else []
        connected.publish(run.judged, "dataset", "judged", files, [path for path in old if path not in files])
        choose.run(run)
        return run

    return started


def row(number: int, language: str = "ru", source: str = "", **changed: Any) -> Judged:
    made = judged(f"{number:016x}", prompt=f"{2**64 - 1 - number:016x}", **changed)
    known = {"language": language, "source_text": source, "source_language": "en" if source else language}
    return made.model_copy(update={"prompt": made.prompt.model_copy(update=known), "think_language": language})


def load(run: Run, config: str) -> Any:
    return datasets.load_dataset(run.chosen, config, split="train", revision=run.hub.revision(run.chosen, "dataset"))


def test_the_references_columns_have_its_names_its_order_and_its_types(start: Callable[..., Run]) -> None:
    run = start([row(1, scores={"fluency": 4.0}), row(2, "de", "How many?", scores={"fluency": 3.0})])
    found = load(run, "lightblue")
    assert list(found.features) == [*COLUMNS, "conversations"]
    assert {name: found.features[name].dtype for name in COLUMNS} == COLUMNS
    german, russian = sorted(found, key=lambda one: one["language"])
    assert (german["en_prompt"], russian["en_prompt"]) == ("How many?", None)
    assert (russian["think_fluency"], russian["answer_correctness"], russian["num_tokens"]) == (4.0, 1.0, 1)
    assert russian["prompt_think_lang_correct"]
    assert russian["response"] == russian["conversations"][1]["value"] == "<think>\nОдин.\n</think>\n\nОтвет: 1"


def test_sharegpt_has_each_chosen_row_once_as_turns_of_a_human_and_a_model(start: Callable[..., Run]) -> None:
    run = start([row(number, "de" if number % 2 else "ru") for number in range(5)] + [row(9, outcome="undecidable")])
    head = run.hub.snapshot(run.chosen, "dataset")
    assert head
    chosen = {one.id: [message.content for message in one.messages] for one in run.hub.rows(head, Conversation)}
    found = {one["id"]: one["conversations"] for one in load(run, "sharegpt")}
    assert {name: [turn["value"] for turn in turns] for name, turns in found.items()} == chosen
    assert all([turn["from"] for turn in turns] == ["human", "gpt"] for turns in found.values())
    assert len(chosen) == 5


def test_the_formats_follow_every_change_of_the_rows(start: Callable[..., Run]) -> None:
    start([row(1), row(2, "de"), row(3)])
    run = start([row(4)])
    for config in ("lightblue", "sharegpt"):
        assert len(load(run, config)) == 1
    head = run.hub.snapshot(run.chosen, "dataset")
    assert head
    assert {path.split("/")[1] for path in head.files if path.endswith(".parquet")} == {"ru"}


def test_what_was_not_chosen_is_in_no_format(start: Callable[..., Run]) -> None:
    run = start([row(1, outcome="undecidable")])
    configs = DatasetCard.load(run.chosen).data.to_dict()["configs"]
    assert [config["config_name"] for config in configs] == ["rejected"]


def test_the_card_tells_trainers_where_to_find_what_they_read(start: Callable[..., Run]) -> None:
    run = start([row(1)])
    blocks = {token.info: token.content for token in parsed(DatasetCard.load(run.chosen).text) if token.info}
    (axolotl,) = yaml.safe_load(blocks["yaml"])["datasets"]
    (factory,) = yaml.safe_load(blocks["json"]).values()
    assert (axolotl["path"], axolotl["name"]) == (factory["hf_hub_url"], factory["subset"]) == (run.chosen, "sharegpt")
    turns = load(run, "sharegpt")[0][axolotl["field_messages"]]
    assert set(axolotl["message_property_mappings"].values()) == set(turns[0])


def test_rows_are_written_a_part_at_a_time(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.formats.AT_ONCE", 2)
    run = start([row(number) for number in range(5)])
    assert sorted(one["id"] for one in load(run, "sharegpt")) == [f"{number:016x}" for number in range(5)]
