"""Reinforcement: which prompts are taken, what TRL is told, and that the reward moves a tiny model into a language."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lessons import TINY
from lessons import write_job as write_lesson
from rich.console import Console
from rows import prompt
from tiny import make_student
from transformers import AutoModelForCausalLM

from pipelines import browse, cards, chains, facts, lineage, recipes
from pipelines.chains import join
from pipelines.errors import RecipeError, StageError
from pipelines.facts import Facts, Input
from pipelines.hub import connect
from pipelines.hub import part as parquet_part
from pipelines.recipe import Recipe, Reinforce, Terms
from pipelines.records import Conversation, Message, Rollout, Term
from pipelines.rewards import GATED, reward
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import evaluate, reinforce
from pipelines.training import grpo_arguments, launch, reinforcement, sft
from pipelines.training.chat_template import Refused, opens_think
from pipelines.training.job import Question, Reinforced, Reinforcement, Row
from pipelines.training.resumption import BRANCH
from pipelines.training.tally import Tally

RUSSIAN = "Складываем числа: всё верно."
ENGLISH = "We add the numbers now."
GRPO: dict[str, Any] = {
    "max_completion_length": 64,
    "per_device_train_batch_size": 16,
    "num_generations": 8,
    "learning_rate": 3e-3,
    "report_to": "none",
    "bf16": False,
    "model_init_kwargs": {"dtype": "float32"},
}
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}


# --- which prompts


def candidate(
    number: int, sample: int, outcome: str | None = "right", reason: str | None = None, **changed: Any
) -> Conversation:
    asked = prompt(number).model_copy(update=changed)
    return Conversation(
        id=f"{number}-{sample}",
        language="ru",
        messages=(Message(role="user", content=asked.text), Message(role="assistant", content="…")),
        prompt=asked,
        candidate="c",
        teacher="t",
        teacher_revision="r",
        outcome=outcome,  # type: ignore[arg-type]
        scores=(),
        tokens=1,
        reason=reason,
    )


def group(number: int, *right: bool, **changed: Any) -> list[Conversation]:
    wrong = {"outcome": "wrong", "reason": "answer: '2' where '3' is right"}
    return [candidate(number, sample, **({} if yes else wrong), **changed) for sample, yes in enumerate(right)]


def picked(rows: Sequence[Conversation], **config: Any) -> list[str]:
    return [question.id for question in reinforce.pick(lambda: rows, Reinforce(**config), 0).questions]


def test_only_prompts_that_are_solved_sometimes_are_taken() -> None:
    rows = [*group(1, True, True), *group(2, True, False), *group(3, False, False), *group(4, True)]
    found = reinforce.pick(lambda: rows, Reinforce(), 0)
    assert [(it.id, it.text, it.gold) for it in found.questions] == [(prompt(2).id, prompt(2).text, "3")]
    assert found.counts == {"ru": {"verifiable": 4, "sometimes solved": 1, "taken": 1}}


def test_a_candidate_that_was_only_outranked_counts_as_passed_and_one_that_a_benchmark_asks_does_not() -> None:
    outranked = candidate(1, 1, reason="place 2 among the prompt's candidates")
    assert picked([candidate(1, 0), outranked]) == []
    held = [candidate(2, sample, reason="held out: 100% of mgsm, row 3") for sample in (0, 1)]
    assert picked([*held, candidate(2, 2, outcome="wrong", reason="answer: no")]) == []
    assert picked([candidate(3, 0), candidate(3, 1, reason="fluency: 1 where 3 is asked for")]) == [prompt(3).id]
    assert picked([candidate(4, 0), candidate(4, 1, outcome="undecidable")]) == [prompt(4).id]


def test_the_bounds_and_the_limit_of_the_recipe_hold() -> None:
    rows = [row for number in range(1, 5) for row in group(number, *[place < number for place in range(5)])]
    assert len(picked(rows)) == 4
    assert set(picked(rows, passed_above=0.2, passed_below=0.8)) == {prompt(2).id, prompt(3).id}
    assert len(picked(rows, prompts=2)) == 2
    assert picked(rows, prompts=2) == picked(rows[::-1], prompts=2)


def test_where_nothing_can_be_learned_it_is_said_why() -> None:
    def why(rows: Sequence[Conversation], **config: Any) -> str:
        return reinforce.pick(lambda: rows, Reinforce(**config), 0).why

    assert "no prompt with a right answer to verify" in why(group(1, True, False, gold=None))
    found = why([*group(1, True), *group(2, True), *group(3, False)])
    assert "of 3, all candidates of 2 passed and none of 1" in found
    assert "take more samples in generate" in found


def test_a_band_without_a_rate_is_refused() -> None:
    with pytest.raises(RecipeError, match="passed_above must be less than passed_below"):
        recipes.load("demo", ["reinforce={passed_above: 0.5, passed_below: 0.5}"])


def test_a_way_that_asks_the_reinforced_model_needs_the_section() -> None:
    way = "evaluate.ways=[{name: mine, model: reinforced, instruction: plain.v1}]"
    with pytest.raises(RecipeError, match="'mine' asks the reinforced model, and there is none: add reinforce"):
        recipes.load("demo", [way])
    assert "reinforce" in recipes.load("demo", [way, "reinforce={}"]).stages
    assert "reinforce" not in recipes.load("demo").stages


def test_an_unknown_key_of_the_section_is_named_with_those_that_are_allowed() -> None:
    with pytest.raises(RecipeError, match=r"reinforce\.term: unknown key; allowed here: .*passed_above.* terms"):
        recipes.load("demo", ["reinforce={term: {}}"])
    with pytest.raises(RecipeError, match=r"reinforce\.terms\.acuracy: unknown key; allowed here: accuracy"):
        recipes.load("demo", ["reinforce.terms.acuracy=1"])


def test_the_section_decides_about_its_own_stage_alone() -> None:
    plain, with_it = recipes.load("demo"), recipes.load("demo", ["reinforce={prompts: 3}"])
    changed = {stage for stage in with_it.stages if plain.digest(stage) != with_it.digest(stage)}
    assert changed == {"reinforce"}


# --- what came of it


def rollout(step: int, prompt: str, value: float | None, right: bool = False) -> Rollout:
    gate = "0% of the think block is in ru" if value == GATED else None
    return Rollout(
        id=f"{step}{prompt}", step=step, prompt=prompt, sample=0, language="ru", question="?", gold="1", reasoning="",
        answer="", defects=(), tokens=1, reward=value, gate=gate, terms=(Term(name="accuracy", value=float(right)),),
    )  # fmt: skip


def test_the_tally_pairs_the_last_visit_to_a_prompt_with_its_first() -> None:
    tally = Tally()
    for row in (
        *(rollout(1, "a", value) for value in (GATED, GATED)),
        *(rollout(2, name, GATED) for name in ("a", "b")),
        *(rollout(3, "a", 1.0, right=True) for _ in range(2)),
        rollout(3, "c", None),
        rollout(4, "b", 0.0),
    ):
        tally.add(row)
    assert tally.counts == {"ru": {"responses": 8, "through the gate": 4, "right": 2}}
    assert tally.curve == [[1, -1.0, 0.0, 0.0], [2, -1.0, 0.0, 0.0], [3, 1.0, 1.0, 1.0], [4, 0.0, 1.0, 0.0]]
    rise = tally.rise()
    assert rise["prompts"] == 2
    assert rise["measures"]["reward"]["first"] == -1.0
    assert rise["measures"]["reward"]["last"] == 0.5
    assert rise["measures"]["reward"]["difference"][0] == 1.5
    assert rise["measures"]["right"]["last"] == 0.5


def test_without_a_second_visit_nothing_is_claimed() -> None:
    tally = Tally()
    tally.add(rollout(1, "a", 1.0))
    assert tally.rise() == {}


# --- TRL


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads at so small a model only wait for each other, the longer the more the machine has to do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned to think in Russian or in English, one as often as the other."""
    folder = tmp_path_factory.mktemp("student")
    plain = make_student(folder / "plain", hidden_size=64, intermediate_size=128)
    rows = [
        Row(id=f"{number}{language}", language=language, messages=messages(number, thought))
        for number in range(4)
        for language, thought in (("ru", RUSSIAN), ("en", ENGLISH))
    ]
    lesson = {
        **TINY,
        "num_train_epochs": 60,
        "lr_scheduler_type": "constant",
        "learning_rate": 5e-3,
        "per_device_train_batch_size": 8,
        "max_length": 128,
    }
    job = write_lesson(plain, folder / "lesson", rows, sft=lesson)
    sft.train(job)
    return Path(job.output)


def question(number: int) -> Question:
    return Question(id=f"q{number}", language="ru", text=f"Сколько будет {number} + 1?", gold=str(number + 1))


def messages(number: int, thought: str) -> tuple[dict[str, str], ...]:
    response = join(thought, f"Ответ: {number + 1}")
    return {"role": "user", "content": question(number).text}, {"role": "assistant", "content": response}


@pytest.fixture
def job(student: Path, tmp_path: Path) -> Callable[..., Reinforcement]:
    def made(folder: str = "run", count: int = 4, **changes: Any) -> Reinforcement:
        home = tmp_path / folder
        home.mkdir(exist_ok=True)
        values = {
            "name": "lessons",
            "student": str(student),
            "student_repo": "someone/student",
            "student_revision": "0" * 40,
            "rows": str(home / "questions.jsonl"),
            "output": str(home / "model"),
            "lora": LORA,
            "seed": 0,
            "terms": Terms(),
            "grpo": GRPO,
        }
        found = Reinforcement.model_validate(values | changes)
        Path(found.rows).write_text("".join(question(n).model_dump_json() + "\n" for n in range(count)), "utf-8")
        return found

    return made


def rows_of(job: Reinforcement) -> list[Rollout]:
    return list(reinforce.rollouts(job.rollouts))


def test_the_gate_moves_the_model_out_of_the_wrong_language(job: Callable[..., Reinforcement]) -> None:
    made = job(grpo={**GRPO, "max_steps": 12})
    reinforcement.reinforce(made)
    tally = Tally()
    for row in rows_of(made):
        tally.add(row)
    first, last = (sum(gate for _, _, gate, _ in part) / 4 for part in (tally.curve[:4], tally.curve[-4:]))
    assert first < 0.75
    assert last > first + 0.2
    report = Reinforced.model_validate_json(made.report.read_text("utf-8"), strict=False)
    assert (report.steps, report.written_by, report.opened) == (12, "transformers", False)
    assert AutoModelForCausalLM.from_pretrained(made.output).config.model_type == "qwen2"
    settings = json.loads((Path(made.output) / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "someone/student"


def test_every_response_is_kept_with_the_very_reward_that_its_text_is_worth(job: Callable[..., Reinforcement]) -> None:
    made = job(grpo={**GRPO, "max_steps": 2}, lora=None)
    reinforcement.reinforce(made)
    rows = rows_of(made)
    assert len(rows) == len({row.id for row in rows}) == 2 * 16
    assert {row.step for row in rows} == {1, 2}
    assert {row.sample for row in rows} == set(range(8))
    assert {row.gate is None for row in rows} == {True, False}
    for row in rows:
        chain = chains.Chain(row.reasoning, row.answer, row.defects)
        found = reward(chain, row.gold, row.language, row.tokens, made.terms)
        assert (found.total, found.gate) == (row.reward, row.gate)
        assert (row.reward == GATED) == (row.gate is not None)
    logged = json.loads(made.report.read_text("utf-8"))
    assert logged["tokens"] > sum(row.tokens for row in rows)


def test_a_checkpoint_leads_to_the_very_rollouts_of_an_unbroken_reinforcement(
    job: Callable[..., Reinforcement],
) -> None:
    grpo = {**GRPO, "max_steps": 4}
    unbroken = job("unbroken", grpo=grpo, save_every=0.0)
    reinforcement.reinforce(unbroken)
    for step in (1, 2, 3):  # of two steps an epoch
        resumed = job(f"from-{step}", grpo=grpo, resume=str(unbroken.trained / f"checkpoint-{step}"))
        reinforcement.reinforce(resumed)
        assert rows_of(resumed) == rows_of(unbroken)
        told = [json.loads(one.report.read_text("utf-8")) for one in (resumed, unbroken)]
        assert told[0]["tokens"] == told[1]["tokens"]
        assert told[0]["resumed"] == step


def test_a_template_that_opens_the_think_block_is_known_for_it(student: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student)
    assert not opens_think(tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "assistant\\n' }}{% endif", "assistant\\n<think>\\n' }}{% endif"
    )
    assert opens_think(tokenizer)


@pytest.mark.parametrize(
    ("grpo", "why"),
    [
        (
            {"num_generation": 8},
            r"reinforce\.grpo\.num_generation is no argument of TRL's GRPOConfig; did you mean num_gen",
        ),
        ({"num_generations": 1}, "requires at least 2 generations per prompt"),
        ({"num_generations": 3}, r"must be divisible by num_generations"),
        ({"log_completions": True}, "every response is published"),
        ({"reward_weights": [1]}, r"give reinforce\.terms"),
        ({"use_vllm": True}, r"needs the package vllm, .* pip install 'trl\[vllm\]'"),
        ({"learning_rate": "fast"}, "must be a number"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_a_line(
    job: Callable[..., Reinforcement], grpo: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        grpo_arguments.config(job(grpo={**GRPO, **grpo}), cuda=False)


def test_fewer_prompts_than_a_step_takes_are_refused_instead_of_dropped(job: Callable[..., Reinforcement]) -> None:
    with pytest.raises(Refused, match="a step takes 2 prompts, and there are 1"):
        reinforcement.reinforce(job(count=1))


# --- over the Hub


@pytest.fixture
def run(hub_server: str, name: str, student: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A chosen data set and a trained model on the Hub, and the recipe that reinforces the one by the other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    hub = connect(None)
    recipe = Recipe.model_validate(
        {
            "name": name,
            "languages": ["ru"],
            "engines": {
                "e": {"kind": "openai", "model": f"{hub.namespace}/{name}-student", "url": "http://127.0.0.1:9"}
            },
            "prompts": {"sources": [{"kind": "problems", "families": [], "rows": 1}]},
            "generate": {"engine": "e"},
            "train": {"student": f"{hub.namespace}/student"},
            "reinforce": {"lora": LORA, "grpo": {**GRPO, "max_steps": 2}},
            "checkpoints": {"minutes": 0.001},
            "evaluate": {
                "engine": "e",
                "ways": [{"name": "reinforced", "model": "reinforced", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": {"kind": "problems", "families": [], "rows": 1}}],
            },
        }
    )
    made = Run(recipe, hub, Screen())
    told = Facts(stage="choose", recipe=name, digest="d", complete=True, inputs=(), updated=facts.now())
    rows = [row for number in range(1, 5) for row in group(number, True, False)]
    files: dict[str, bytes | Path] = {"run/choose.json": told.model_dump_json().encode()}
    for folder, kept in (("data", True), ("rejected", False)):
        path, content = parquet_part(folder, Conversation, [row for row in rows if (row.reason is None) == kept], "ru")
        files[path] = content
    hub.create(made.chosen, "dataset", private=False)
    hub.publish(made.chosen, "dataset", "x", files)
    trained: dict[str, bytes | Path] = {file.name: file for file in student.iterdir() if file.is_file()}
    trained["run/train.json"] = told.model_copy(update={"stage": "train"}).model_dump_json().encode()
    hub.create(made.model, "model", private=False)
    hub.publish(made.model, "model", "x", trained)
    return made


def changed(run: Run, **grpo: Any) -> Run:
    section = run.recipe.reinforce
    assert section
    update = {"reinforce": section.model_copy(update={"grpo": {**section.grpo, **grpo}})}
    return Run(run.recipe.model_copy(update=update), run.hub, run.screen)


def test_model_and_rollouts_are_published_and_a_second_run_changes_nothing(run: Run) -> None:
    reinforce.run(run)
    published = run.hub.need(run.reinforced, "model", "reinforce")
    assert published.facts
    assert [read.repo for read in published.facts.inputs] == [run.chosen, run.model]
    assert published.facts.details["prompts"] == {"ru": {"verifiable": 4, "sometimes solved": 4, "taken": 4}}
    there = run.hub.need(run.rollouts, "dataset", "reinforce")
    assert there.facts == published.facts
    rows = list(run.hub.rows(there, Rollout))
    assert len(rows) == published.facts.counts["ru"]["responses"] == 2 * 16
    assert {row.prompt for row in rows} <= {prompt(number).id for number in range(1, 5)}
    model_card, data_card = run.hub.card(published), run.hub.card(there)
    assert f"Reinforced from {run.model}" in model_card
    for card in (model_card, data_card):
        assert "is worth −1" in card
        assert "| Russian (ru) | 4 | 4 | 4 |" in card
    assert "config_name: ru" in data_card
    assert [branch.name for branch in run.hub.api.list_repo_refs(run.reinforced).branches] == ["main"]
    before = run.hub.revision(run.reinforced, "model"), run.hub.revision(run.rollouts, "dataset")
    reinforce.run(run)
    assert (run.hub.revision(run.reinforced, "model"), run.hub.revision(run.rollouts, "dataset")) == before
    _a_person_can_look(run, rows[0])
    _an_evaluation_asks_it_and_writes_its_card(run)


def _a_person_can_look(run: Run, row: Rollout) -> None:
    console = Console(file=io.StringIO(), width=300)
    browse.inspect(run.hub, run.rollouts, "ru", False, "", console)
    lineage.run(run.reinforced, Screen(console))
    lineage.run(f"{run.rollouts}#{row.id}", Screen(console))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "reward -1" in text
    assert row.gate is None or row.gate in text
    assert f"{run.model} at" in text
    assert f"step {row.step}, sample {row.sample}" in text


def _an_evaluation_asks_it_and_writes_its_card(run: Run) -> None:
    trained = run.hub.need(run.model, "model", "train")
    asked = evaluate.engines_of(run, trained)["reinforced"]
    assert (asked.model, asked.revision) == (run.reinforced, run.hub.revision(run.reinforced, "model"))
    seen = run.hub.need(run.reinforced, "model", "reinforce")
    inputs = tuple(Input(repo=one.model, kind="model", revision=one.revision or "") for one in [asked])
    told = Facts(stage="evaluate", recipe="r", digest="d", complete=True, inputs=inputs)
    evaluate._update_card(run, seen, partial(cards.model_card, run, seen.facts, ()), told, {})
    assert evaluate.engines_of(run, trained)["reinforced"] == asked
    run.hub.publish(run.model, "model", "other weights", {"model.safetensors": b"x"})
    with pytest.raises(StageError, match=r"was made from other weights than .* run reinforce"):
        evaluate.engines_of(run, run.hub.need(run.model, "model", "train"))


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"passed_below": 0.4}, "has no prompt that teaches anything: of 4, all candidates of 0 passed and none of 0"),
        ({"grpo": {**GRPO, "per_device_train_batch_size": 64}}, "reinforce refused: a step takes 8 prompts"),
    ],
)
def test_what_cannot_work_is_one_line_and_publishes_nothing(run: Run, section: dict[str, Any], why: str) -> None:
    assert run.recipe.reinforce
    other = run.recipe.model_copy(update={"reinforce": run.recipe.reinforce.model_copy(update=section)})
    with pytest.raises(StageError, match=why):
        reinforce.run(Run(other, run.hub, run.screen))
    assert run.hub.snapshot(run.reinforced, "model") is None


def test_without_a_section_or_a_trained_model_it_is_said_what_to_do(run: Run) -> None:
    with pytest.raises(RecipeError, match="has no section reinforce"):
        reinforce.run(Run(run.recipe.model_copy(update={"reinforce": None}), run.hub, run.screen))
    other = run.recipe.train.model_copy(update={"student": "a/another"})
    with pytest.raises(StageError, match="run train first"):
        reinforce.run(Run(run.recipe.model_copy(update={"train": other}), run.hub, run.screen))


def test_a_killed_reinforcement_goes_on_from_the_hub_with_every_rollout(run: Run, tmp_path: Path) -> None:
    longer = changed(run, max_steps=16)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(longer.recipe.model_dump(mode="json")), "utf-8")
    command = [sys.executable, "-m", "pipelines", "reinforce", str(recipe)]
    first = subprocess.Popen(command, cwd=launch.ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while (seen := run.hub.snapshot(run.reinforced, "model", "reinforce", BRANCH)) is None or not seen.facts:
        assert first.poll() is None
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.run(command, cwd=launch.ROOT, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    assert "goes on from step" in again.stdout
    there = run.hub.need(run.rollouts, "dataset", "reinforce")
    rows = list(run.hub.rows(there, Rollout))
    assert len(rows) == len({row.id for row in rows}) == 16 * 16
    assert there.facts
    assert there.facts.details["resumed"] > 0
