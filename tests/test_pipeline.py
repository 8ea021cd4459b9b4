"""The whole way on a tiny model: real Hub, real HTTP, real parquet, real TRL, a real server for the student.

Only the teacher is scripted, behind a real server.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
import yaml
from llm_server import Script, serving
from rich.console import Console
from tiny import make_student

from pipelines import hub, lineage, problems, recipes
from pipelines.errors import StageError
from pipelines.recipe import STAGES
from pipelines.records import Candidate, Conversation, Judged, Prompt, Result
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import choose, evaluate, generate, judge, prompts, train

FAMILIES = ("change", "giving", "seats", "pages")
ROWS = 12
OVERLAP = 4
"""So many of the training problems are asked in the evaluation, too."""
SEED = 5
PEOPLE = {"language": "ru", "criterion": "fluency", "prompt": "?", "reasoning": "Думаю.", "answer": "1"}


def scripted() -> Script:
    """Of four prompts one is thought through in English and one ends in a wrong answer; the others are right."""
    script = Script()
    for number, problem in enumerate(islice(problems.problems(FAMILIES, SEED), ROWS)):
        gold = problem.gold if number % 4 != 1 else str(int(problem.gold) + 1)
        russian = f"Сначала прочитаем условие задачи. Потом посчитаем и получим {gold}. Проверим ещё раз, всё верно."
        english = f"First we read the problem carefully. Then we compute and the result is {gold}."
        script.answers[problem.texts["ru"]] = (
            f"<think>\n{english if number % 4 == 0 else russian}\n</think>\n\nОтвет: {gold}"
        )
    return script


@pytest.fixture(scope="module")
def script() -> Script:
    return scripted()


@pytest.fixture(scope="module")
def finished(hub_server: str, script: Script, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of all six stages."""
    connected = hub.connect(None)
    folder = make_student(tmp_path_factory.mktemp("student"))
    connected.create("tiny/student", "model", private=False)
    files = {path.name: path for path in folder.iterdir()}
    connected.publish("tiny/student", "model", "a student", dict(files))
    with serving(script) as url:
        path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
        people = path.with_name("people.jsonl")
        people.write_text("\n".join(json.dumps(PEOPLE | {"score": score}) for score in (4, 4, 3, 5)), "utf-8")
        tree = config(url) | {"calibration": {"file": str(people)}}
        path.write_text(yaml.safe_dump(tree, allow_unicode=True), "utf-8")
        run = Run(recipes.load(str(path)), connected, Screen())
        for stage in (prompts, generate, judge, choose, train, evaluate):
            stage.run(run)
        yield run


def config(url: str) -> dict[str, object]:
    source = {"kind": "problems", "families": list(FAMILIES), "rows": ROWS}
    return {
        "name": "whole-way",
        "languages": ["ru"],
        "seed": SEED,
        "engines": {
            "teacher": {"kind": "openai", "model": "scripted", "url": url},
            "student": {
                "kind": "transformers",
                "model": "tiny/student",
                "parallel": 4,
                "context": 512,
                "arguments": {"device": "cpu", "dtype": "bfloat16"},
            },
        },
        "prompts": {"sources": [source]},
        "generate": {"engine": "teacher", "instruction": "example.v1", "samples": 2},
        "judge": {
            "judges": [
                {"kind": "rubric", "name": "fluency", "engine": "teacher", "instruction": "fluency.v1", "least": 3},
                {"kind": "rubric", "name": "logic", "engine": "teacher", "instruction": "logic.v1", "least": 3},
            ]
        },
        "choose": {"rank": ["logic", "fluency", "-tokens"]},
        "train": {
            "student": "tiny/student",
            "lora": {"r": 2},
            "sft": {"max_steps": 2, "per_device_train_batch_size": 2, "max_length": 1024, "learning_rate": 1e-3},
        },
        "merge": 0.25,
        "evaluate": {
            "engine": "student",
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
            "benchmarks": [
                {"name": "new", "source": {"kind": "problems", "families": ["queue"], "rows": 3, "seed": 9}},
                {"name": "overlapping", "source": {**source, "rows": OVERLAP}},
                {"name": "gone", "source": {"kind": "hub", "id": "school/gone", "text": "q", "language": "ru"}},
            ],
            "ways": [
                {"name": "base", "model": "base", "instruction": "plain.v1"},
                {"name": "base opened", "model": "base", "instruction": "opening.v1"},
                {"name": "trained", "model": "trained", "instruction": "plain.v1"},
                {"name": "merged", "model": "merged", "instruction": "plain.v1"},
            ],
        },
    }


def rows_of(run: Run, repo: str, stage: str, record: type, folder: str = "data") -> list:
    snapshot = run.hub.snapshot(repo, "dataset", stage)
    assert snapshot
    return list(run.hub.rows(snapshot, record, folder))


def test_every_prompt_is_published_with_its_gold_answer_and_source_text(finished: Run) -> None:
    rows = rows_of(finished, finished.prompts, "prompts", Prompt)
    assert len(rows) == ROWS
    assert all(row.gold and row.source_language == "en" and row.translator is None for row in rows)


def test_every_sample_exists_once_with_a_seed_of_its_own(finished: Run) -> None:
    rows = rows_of(finished, finished.candidates, "generate", Candidate)
    assert len(rows) == len({row.id for row in rows}) == len({row.seed for row in rows}) == 2 * ROWS
    assert {(row.prompt.id, row.sample) for row in rows} == {
        (row.id, number) for row in rows_of(finished, finished.prompts, "prompts", Prompt) for number in (0, 1)
    }


def test_what_the_probe_found_stands_in_facts_and_card(finished: Run, script: Script) -> None:
    snapshot = finished.hub.need(finished.candidates, "dataset", "generate")
    assert snapshot.facts
    (contract,) = snapshot.facts.contracts
    assert (contract.model, contract.engine, contract.seeds) == ("scripted", "openai", True)
    card = finished.hub.text(finished.candidates, "dataset", snapshot.revision, "README.md")
    assert "another seed gives another sample" in card
    judged = finished.hub.need(finished.judged, "dataset", "judge").facts
    assert judged
    assert [contract.schema_kept for contract in judged.contracts] == [True]
    results = finished.hub.need(finished.results, "dataset", "evaluate").facts
    assert results
    assert [contract.opening for contract in results.contracts] == [True, None]
    assert len(script.probes) == 4


def test_english_thinking_and_wrong_answers_are_rejected_with_their_reasons(finished: Run) -> None:
    kept = rows_of(finished, finished.judged, "judge", Judged)
    rejected = rows_of(finished, finished.judged, "judge", Judged, "rejected")
    assert {row.stopped for row in kept} == {None}
    assert (
        sorted((row.stopped, row.think_language) for row in rejected)
        == [("answer", "ru")] * 6 + [("language", "en")] * 6
    )
    assert all(row.reason for row in rejected)


def test_each_stage_knows_the_stages_before_it_as_it_read_them(finished: Run) -> None:
    for stage, before in (("prompts", 0), ("choose", 3), ("train", 4), ("evaluate", 5)):
        repo, kind = finished.written(stage)
        there = finished.hub.need(repo, kind, stage)
        assert there.facts
        # the merged model, too, was made by a training
        assert list(dict.fromkeys(past.stage for past in there.facts.history)) == list(STAGES[:before])
    generated = next(past for past in there.facts.history if past.stage == "generate")
    assert (generated.repo, generated.models[0].repo) == (finished.candidates, "scripted")
    assert sum(one.usage.requests for one in generated.spent) >= 2 * ROWS


def test_judges_are_asked_only_about_what_passed_the_free_checks(finished: Run, script: Script) -> None:
    asked = [request for request in script.requests if "response_format" in request]
    assert (
        len(asked) == 2 * len(rows_of(finished, finished.judged, "judge", Judged)) + 1
    )  # of a response that four people scored


def test_the_judges_agreement_with_people_stands_with_the_verdicts_and_the_data_chosen_by_them(finished: Run) -> None:
    for repo, stage in ((finished.judged, "judge"), (finished.chosen, "choose")):
        snapshot = finished.hub.need(repo, "dataset", stage)
        assert snapshot.facts
        (found,) = snapshot.facts.details["calibration"]
        assert (found["judge"], found["items"], found["confusion"][2]) == ("fluency", 4, [0, 0, 0, 1, 0])
        card = finished.hub.text(repo, "dataset", snapshot.revision, "README.md")
        assert "| fluency | scripted | ru | 4 | 0 | 0.00" in card
        assert "Warning: fluency: the judge is the teacher itself" in card
        assert "Warning: logic (ru): not compared with scores of people" in card


def test_one_response_per_prompt_is_chosen_and_all_others_are_kept_with_a_reason(finished: Run) -> None:
    chosen = rows_of(finished, finished.chosen, "choose", Conversation)
    rest = rows_of(finished, finished.chosen, "choose", Conversation, "rejected")
    # half of all prompts are thought through in Russian and right, also of those that the evaluation asks
    assert len(chosen) == len({row.prompt.id for row in chosen}) == (ROWS - OVERLAP) // 2
    assert len(chosen) + len(rest) == 2 * ROWS
    assert all(row.reason for row in rest)
    assert all(row.messages[1].content.startswith("<think>\n") for row in chosen)


def test_the_funnel_of_the_card_counts_the_published_rows(finished: Run) -> None:
    snapshot = finished.hub.need(finished.chosen, "dataset", "choose")
    assert snapshot.facts
    assert snapshot.facts.counts["ru"] == {
        "generated": 24, "structure": 24, "language": 18, "answer": 12, "fluency": 12, "logic": 12,
        "decontaminated": 8, "chosen": 4,
    }  # fmt: skip


def test_the_published_data_set_loads_by_language_with_the_plain_datasets_library(finished: Run) -> None:
    import datasets

    table = datasets.load_dataset(finished.chosen, "ru", split="train")
    assert len(table) == (ROWS - OVERLAP) // 2
    assert [turn["role"] for turn in table[0]["messages"]] == ["user", "assistant"]
    assert len(datasets.load_dataset(finished.chosen, "rejected", split="train")) == 2 * ROWS - (ROWS - OVERLAP) // 2


def test_the_trained_model_is_published_whole_with_the_template_it_was_trained_with(finished: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    snapshot = finished.hub.need(finished.model, "model", "train")
    folder = finished.hub.folder(finished.model, "model", snapshot.revision)
    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "qwen2"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nb\n</think>\n\nc"}]
    assert "<think>\nb\n</think>" in AutoTokenizer.from_pretrained(folder).apply_chat_template(turns, tokenize=False)


def test_the_merged_model_is_what_was_asked_under_its_name(finished: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged = finished.hub.revision(finished.model, "model", "merged")
    rows = rows_of(finished, finished.results, "evaluate", Result)
    assert {row.model_revision for row in rows if row.way == "merged"} == {merged}
    assert AutoModelForCausalLM.from_pretrained(finished.model, revision="merged").config.model_type == "qwen2"
    templates = {
        AutoTokenizer.from_pretrained(finished.model, revision=revision).chat_template
        for revision in ("main", "merged")
    }
    assert len(templates) == 1


def test_what_the_evaluation_asks_is_not_trained_on_but_rejected_with_its_place(finished: Run) -> None:
    rest = rows_of(finished, finished.chosen, "choose", Conversation, "rejected")
    held = [row for row in rest if row.reason.startswith("held out: 100% of overlapping, row ")]
    assert len({row.prompt.id for row in held}) == OVERLAP // 2  # the other half was stopped before
    facts = finished.hub.need(finished.chosen, "dataset", "choose").facts
    assert facts
    assert facts.details["compared"] == ["new", "overlapping"]


def test_every_way_of_asking_is_evaluated_on_every_item(finished: Run) -> None:
    rows = rows_of(finished, finished.results, "evaluate", Result)
    items = {"new": 3, "overlapping": OVERLAP}
    assert Counter((row.way, row.benchmark) for row in rows) == {
        (way, name): count for way in ("base", "base opened", "trained", "merged") for name, count in items.items()
    }
    facts = finished.hub.need(finished.results, "dataset", "evaluate").facts
    assert facts
    assert [(it["benchmark"], it["items"], it["seen"]) for it in facts.details["seen_in_training"]] == [
        ("new", 3, 0),
        ("overlapping", OVERLAP, 0),
    ]


def test_a_benchmark_that_cannot_be_read_is_named_in_facts_and_cards(finished: Run) -> None:
    for repo, stage, key in ((finished.chosen, "choose", "not_compared"), (finished.results, "evaluate", "skipped")):
        snapshot = finished.hub.need(repo, "dataset", stage)
        assert snapshot.facts
        (told,) = snapshot.facts.details[key]
        assert told.startswith("gone: not asked: ")
        assert "no data set school/gone" in told
        assert "school/gone" in finished.hub.text(repo, "dataset", snapshot.revision, "README.md")


def test_a_forced_opening_is_part_of_the_think_block(finished: Run) -> None:
    opened = [row for row in rows_of(finished, finished.results, "evaluate", Result) if row.way == "base opened"]
    assert all((row.reasoning or "").startswith("Давайте рассуждать") for row in opened)


def test_the_models_card_shows_the_result_table(finished: Run) -> None:
    snapshot = finished.hub.need(finished.model, "model", "train")
    card = finished.hub.text(finished.model, "model", snapshot.revision, "README.md")
    assert "base opened" in card
    assert "| merged |" in card
    assert "The branch `merged` has" in card
    assert json.loads(finished.hub.text(finished.model, "model", snapshot.revision, "run/evaluate.json"))["complete"]


def test_the_model_and_a_chosen_row_are_walked_back_to_where_they_began(finished: Run) -> None:
    def shown(what: str) -> str:
        lineage.run(what, Screen(console := Console(file=io.StringIO(), width=300)))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    text = shown(finished.model)
    for repo in (
        finished.model,
        finished.chosen,
        finished.judged,
        finished.candidates,
        finished.prompts,
        "tiny/student",
    ):
        assert f"{repo} at" in text
    assert "are there as they were read" in text
    row = rows_of(finished, finished.chosen, "choose", Conversation)[0]
    text = shown(f"{finished.chosen}#{row.id}")
    for place in (f"{finished.judged}#{row.id}", f"{finished.candidates}#{row.candidate}", row.prompt.id):
        assert place in text
    result = rows_of(finished, finished.results, "evaluate", Result)[0]
    assert f"{result.model} at {result.model_revision[:12]}" in shown(f"{finished.results}#{result.id}")


def test_a_second_run_changes_nothing_and_asks_nothing(finished: Run, script: Script) -> None:
    repos = [(repo, "dataset") for repo in (finished.prompts, finished.candidates, finished.judged, finished.chosen)]
    repos += [(finished.model, "model"), (finished.results, "dataset")]
    before = [finished.hub.revision(repo, kind) for repo, kind in repos]
    asked = len(script.requests)
    for stage in (prompts, generate, judge, choose, train, evaluate):
        stage.run(finished)
    assert [finished.hub.revision(repo, kind) for repo, kind in repos] == before
    assert len(script.requests) == asked


def test_a_stage_without_its_input_says_which_stage_to_run(hub_server: str, finished: Run) -> None:
    lost = Run(finished.recipe.model_copy(update={"name": "lost"}), finished.hub, Screen())
    with pytest.raises(StageError, match="run generate first"):
        judge.run(lost)
