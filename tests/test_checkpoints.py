"""Training that is killed goes on elsewhere, as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lessons import TINY, rows, write_job
from rows import prompt
from tiny import make_student

from pipelines import facts
from pipelines.errors import BudgetSpent
from pipelines.facts import Facts, Spent
from pipelines.hub import connect
from pipelines.hub import part as parquet_part
from pipelines.recipe import Budget, Recipe
from pipelines.records import Conversation, Message
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import train
from pipelines.training import launch, sft
from pipelines.training.job import Job, Report, Row
from pipelines.training.resumption import BRANCH

LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3, "target_modules": "all-linear"}
LONG: dict[str, Any] = {**TINY, "num_train_epochs": 3, "lr_scheduler_type": "cosine", "weight_decay": 0.1}

LONGER: dict[str, Any] = {**LONG, "num_train_epochs": 100}
"""Long enough to be killed in the middle: its first checkpoint is on the Hub after a second or two."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"))


def curve(job: Job) -> tuple[tuple[int, float], ...]:
    sft.train(job)
    return told(job).loss


def told(job: Job) -> Report:
    return Report.model_validate_json(job.report.read_text("utf-8"), strict=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": LORA},  # its dropout draws random numbers in every step
        {"sft": {**LONG, "packing": True, "max_length": 128, "per_device_train_batch_size": 1, "save_steps": 3}},
        {"sft": {**LONG, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 3, "logging_steps": 2}},
    ],
    ids=["lora", "packed", "accumulated"],
)
def test_every_checkpoint_leads_to_the_very_losses_of_an_unbroken_training(
    student: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {"sft": LONG, "save_every": 0.0, **changes}
    unbroken = write_job(student, tmp_path / "unbroken", **changes)
    expected = curve(unbroken)
    checkpoints = sorted(unbroken.trained.glob("checkpoint-*"))
    assert checkpoints
    for checkpoint in checkpoints[:: max(1, len(checkpoints) // 2)]:
        resumed = write_job(student, tmp_path / f"from-{checkpoint.name}", resume=str(checkpoint), **changes)
        assert curve(resumed) == expected
        assert told(resumed).tokens == told(unbroken).tokens
        assert told(resumed).resumed == int(checkpoint.name.rpartition("-")[2])


# --- over the Hub


def conversation(row: Row, number: int) -> Conversation:
    return Conversation(
        id=row.id,
        language=row.language,
        messages=tuple(Message.model_validate(message) for message in row.messages),
        prompt=prompt(number),
        candidate="c",
        teacher="t",
        teacher_revision="r",
        outcome="right",
        scores=(),
        tokens=1,
        reason=None,
    )


@pytest.fixture
def run(hub_server: str, name: str, student: Path) -> Run:
    """A chosen data set and a student on the Hub, and the recipe that trains the one on the other."""
    hub = connect(None)
    recipe = Recipe.model_validate(
        {
            "name": name,
            "languages": ["ru"],
            "engines": {"e": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:9"}},
            "prompts": {"sources": [{"kind": "problems", "families": [], "rows": 1}]},
            "generate": {"engine": "e"},
            "train": {"student": f"{hub.namespace}/{name}-student", "lora": LORA, "sft": LONGER},
            "checkpoints": {"minutes": 0.01},
            "evaluate": {
                "engine": "e",
                "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": {"kind": "problems", "families": [], "rows": 1}}],
            },
        }
    )
    made = Run(recipe, hub, Screen())
    hub.create(recipe.train.student, "model", private=False)
    hub.publish(recipe.train.student, "model", "x", {file.name: file for file in student.iterdir()})
    hub.create(made.chosen, "dataset", private=False)
    told = Facts(stage="choose", recipe=name, digest="d", complete=True, inputs=(), updated=facts.now())
    chosen = [conversation(row, number) for number, row in enumerate(rows())]
    path, content = parquet_part("data", Conversation, chosen, "ru")
    hub.publish(made.chosen, "dataset", "x", {path: content, "run/choose.json": told.model_dump_json().encode()})
    return made


def test_a_training_stops_at_the_budget_and_goes_on_under_a_higher_one(
    run: Run, tmp_path: Path, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = run.recipe.checkpoints.model_copy(update={"minutes": 60.0})  # so that the budget alone takes one
    short = run.recipe.train.model_copy(update={"sft": LONG})
    run = replace(run, recipe=run.recipe.model_copy(update={"checkpoints": checkpoints, "train": short}))
    stopped = run.recipe.model_copy(update={"budget": Budget(hours=0.0005)})
    with pytest.raises(BudgetSpent, match=r"of 0\.0005 hours; what was made is published. Raise budget\.hours"):
        train.run(replace(run, recipe=stopped))
    head = run.hub.snapshot(run.model, "model", "train")
    assert head
    assert head.facts is None
    checkpoint = run.hub.snapshot(run.model, "model", "train", BRANCH)
    assert checkpoint
    assert checkpoint.facts
    assert checkpoint.facts.seconds > 1.8
    assert checkpoint.facts.spent == (Spent(model=run.recipe.train.student, gpu_hours=0.0),)
    with pytest.raises(BudgetSpent):
        train.run(replace(run, recipe=stopped))  # and begins nothing

    train.run(run)
    assert f"goes on from step {checkpoint.facts.details['step']}" in capsys.readouterr().out
    made = run.hub.need(run.model, "model", "train").facts
    assert made
    assert made.seconds > checkpoint.facts.seconds
    expected = curve(write_job(student, tmp_path / "unbroken", rows(), lora=LORA, sft=LONG))
    assert [tuple(point) for point in made.details["loss"]] == list(expected)
    assert made.details["resumed"] == checkpoint.facts.details["step"] < len(expected)
    assert branches(run) == ["main"]


def branches(run: Run) -> list[str]:
    return [branch.name for branch in run.hub.api.list_repo_refs(run.model).branches]


def test_a_killed_training_goes_on_from_the_hub_on_another_machine(run: Run, tmp_path: Path, student: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(run.recipe.model_dump(mode="json")), "utf-8")

    def start(machine: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "HF_HOME": str(tmp_path / machine), "TMPDIR": str(tmp_path)}
        command = [sys.executable, "-m", "pipelines", "train", str(recipe)]
        return subprocess.Popen(
            command, cwd=launch.ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    first = start("first")
    while (seen := run.hub.snapshot(run.model, "model", "train", BRANCH)) is None or not seen.facts:
        assert first.poll() is None
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert run.hub.snapshot(run.model, "model", "train").facts is None  # type: ignore[union-attr]

    again = start("second")
    said, _ = again.communicate(timeout=200)
    assert again.returncode == 0
    assert "goes on from step" in said
    published = run.hub.need(run.model, "model", "train").facts
    assert published
    expected = curve(write_job(student, tmp_path / "unbroken", rows(), lora=LORA, sft=LONGER))
    assert [tuple(point) for point in published.details["loss"]] == list(expected)
    assert published.details["resumed"] > 0
    assert branches(run) == ["main"]
