"""Prompts from data sets on a Hub, in the shape that GSM8K and MGSM have there."""

from pathlib import Path

import pytest
from llm_server import Script, serving

from pipelines import hub, sources
from pipelines.errors import StageError
from pipelines.facts import Facts
from pipelines.recipe import GymSource, HubSource, ProblemSource, Recipe
from pipelines.records import Prompt
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import prompts

QUESTIONS = {
    "Tom has 12 apples and buys 5 more. How many apples does he have?": "12 + 5 = 17\n#### 17",
    "A pen costs $1,250. How much do 2 pens cost?": "1250 * 2 = 2500\n#### 2,500",
    "Ann reads 7 pages a day. How many pages in 3 days?": "7 * 3 = 21\n#### 21",
}
TRANSLATIONS = {
    "Tom has 12": "У Тома 12 яблок, и он покупает ещё 5. Сколько яблок стало у Тома?",
    "A pen costs": "Ручка стоит $1 250. Сколько стоят 2 ручки?",
    "Ann reads 7": "Аня читает семь страниц в день. Сколько страниц она прочитает за 3 дня?",
}


@pytest.fixture(scope="module")
def gsm8k(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    import datasets

    repo = "school/gsm8k"
    rows = [{"question": question, "answer": answer} for question, answer in QUESTIONS.items()]
    datasets.Dataset.from_list([*rows, rows[0]]).push_to_hub(repo, "main", split="train")
    datasets.Dataset.from_list([{"question": "Вопрос?", "answer_number": 3}]).push_to_hub(repo, "ru", split="test")
    return repo


def recipe(name: str, repo: str, url: str) -> Recipe:
    source = {
        "kind": "hub", "id": repo, "config": "main", "text": "question", "language": "en",
        "gold": "answer", "gold_pattern": r"####\s*(.+)",
    }  # fmt: skip
    way = {"name": "base", "model": "base", "instruction": "plain.v1"}
    return Recipe.model_validate(
        {
            "name": name,
            "languages": ["ru", "en"],
            "engines": {"model": {"kind": "openai", "model": "scripted", "url": url}},
            "prompts": {"sources": [source], "translate": {"engine": "model"}},
            "generate": {"engine": "model"},
            "train": {"student": "tiny/student"},
            "evaluate": {"engine": "model", "ways": [way], "benchmarks": [{"name": "same", "source": source}]},
        }
    )


@pytest.fixture(scope="module")
def made(gsm8k: str) -> tuple[list[Prompt], list[Prompt], Facts]:
    script = Script(answers=dict(TRANSLATIONS))
    with serving(script) as url:
        run = Run(recipe("from-a-hub", gsm8k, url), hub.connect(None), Screen())
        prompts.run(run)
    snapshot = run.hub.need(run.prompts, "dataset", "prompts")
    assert snapshot.facts
    good, lost = (list(run.hub.rows(snapshot, Prompt, folder)) for folder in ("data", "rejected"))
    return good, lost, snapshot.facts


def test_a_gold_answer_is_cut_out_of_its_column_by_the_recipes_pattern(made: tuple) -> None:
    golds = {row.source_text: row.gold for row in made[0]}
    assert golds[next(iter(QUESTIONS))] == "17"
    assert "2,500" in golds.values()


def test_what_is_in_the_language_already_is_not_translated(made: tuple) -> None:
    english = [row for row in made[0] if row.language == "en"]
    assert len(english) == len(QUESTIONS)
    assert all(row.translator is None and row.text == row.source_text for row in english)


def test_a_translation_that_lost_a_number_is_rejected_and_one_that_only_spaces_it_is_kept(made: tuple) -> None:
    good, lost, _ = made
    assert {row.text for row in good if row.language == "ru"} == {
        TRANSLATIONS["Tom has 12"],
        TRANSLATIONS["A pen costs"],
    }
    assert [(row.text, row.defects) for row in lost] == [(TRANSLATIONS["Ann reads 7"], ("numbers",))]


def test_a_question_that_stands_twice_in_the_source_becomes_one_prompt(made: tuple) -> None:
    assert made[2].counts["en"]["sampled"] == len(QUESTIONS)


def test_the_facts_pin_the_source_at_its_commit(made: tuple, gsm8k: str) -> None:
    assert [(read.repo, len(read.revision)) for read in made[2].inputs] == [(gsm8k, 40)]


def test_a_benchmark_with_a_config_per_language_is_read_in_that_language(gsm8k: str) -> None:
    source = HubSource(
        kind="hub",
        id=gsm8k,
        config="{language}",
        split="test",
        text="question",
        gold="answer_number",
        language="{language}",
    )
    (item,) = sources.items(source, "ru", 0, hub.connect(None))
    assert (item.texts, item.gold) == ({"ru": "Вопрос?"}, "3")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "school/nothing"}, "no data set school/nothing"),
        ({"text": "problem"}, "no column 'problem'; it has: question, answer"),
        ({"gold": "solution"}, "no column 'solution'"),
        ({"config": "other"}, "check config and split"),
        ({"split": "dev"}, "check config and split"),
        ({"revision": "v9"}, "no revision v9"),
    ],
)
def test_a_source_that_is_not_as_the_recipe_says_is_told_in_one_line(
    gsm8k: str, change: dict[str, str], told: str
) -> None:
    settings = {"id": gsm8k, "config": "main", "text": "question", "gold": "answer", "language": "en", **change}
    with pytest.raises(StageError, match=told) as caught:
        list(sources.items(HubSource.model_validate({"kind": "hub", **settings}), "en", 0, hub.connect(None)))
    assert "\n" not in str(caught.value)


def test_a_data_set_without_rows_is_told(hub_server: str, tmp_path: Path) -> None:
    connected = hub.connect(None)
    connected.create("school/empty", "dataset", private=False)
    (tmp_path / "empty.csv").write_text("question,answer\n")
    connected.publish("school/empty", "dataset", "nothing", {"train.csv": tmp_path / "empty.csv"})
    with pytest.raises(StageError, match="no data"):
        list(
            sources.items(HubSource(kind="hub", id="school/empty", text="question", language="en"), "en", 0, connected)
        )


def test_the_same_seed_gives_the_same_items_and_another_seed_others(gsm8k: str) -> None:
    connected = hub.connect(None)
    for source in (
        GymSource(kind="gym", task="gsm_symbolic", rows=5),
        ProblemSource(kind="problems", families=(), rows=5),
        HubSource(kind="hub", id=gsm8k, config="main", text="question", language="en"),
    ):
        first = [item.texts for item in sources.items(source, "en", 1, connected)]
        assert first == [item.texts for item in sources.items(source, "en", 1, connected)]
        assert first != [item.texts for item in sources.items(source, "en", 4, connected)]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (GymSource(kind="gym", task="nothing", rows=1), "no task 'nothing'"),
        (GymSource(kind="gym", task="gsm_symbolic", rows=1, settings={"nonsense": 1}), "does not take these settings"),
        (ProblemSource(kind="problems", families=("nothing",), rows=1), "nothing"),
    ],
)
def test_an_unknown_task_family_or_setting_is_named(
    hub_server: str, source: GymSource | ProblemSource, told: str
) -> None:
    with pytest.raises(StageError, match=told):
        list(sources.items(source, "en", 0, hub.connect(None)))
