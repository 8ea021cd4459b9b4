"""Training on a tiny model with a random start: what is trained, what is refused, and what comes out."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lessons import TINY, rows, write_job
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import make_student
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl import chat_template_utils
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from pipelines.errors import StageError
from pipelines.recipe import Train
from pipelines.screen import Screen
from pipelines.training import apart, arguments, frozen_head, launch, sft
from pipelines.training.chat_template import Refused
from pipelines.training.job import Job, Report
from pipelines.training.launch import Place

CHATML = chat_template_utils.qwen2_5_chat_template
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"), CHATML, hidden_size=64, intermediate_size=128)


@pytest.fixture
def job(student: Path, tmp_path: Path) -> Callable[..., Job]:
    return lambda given=(), **changes: write_job(student, tmp_path, given, **changes)


def test_the_frozen_head_computes_what_trls_does(student: Path) -> None:
    def scores(add: Callable[..., None]) -> tuple[Any, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32),
            LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False),
        )
        assert frozen_head.fits(model)
        add(model)
        output = model(input_ids=ids, labels=labels, fused_lm_head=True)
        output.log_probs.pow(2).sum().backward()
        return output, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}

    ids = torch.randint(0, 300, (3, 200), generator=torch.Generator().manual_seed(1))
    labels = ids.masked_fill(torch.arange(200) < 90, -100)
    ours, our_gradients = scores(frozen_head.add_frozen_head)
    theirs, their_gradients = scores(
        lambda model: add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
    )
    for name in ("loss", "log_probs", "entropy", "is_top1", "label_mask"):
        torch.testing.assert_close(ours[name], theirs[name])
    assert our_gradients.keys() == their_gradients.keys()
    for name, gradient in our_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-4, rtol=1e-4)


def test_long_rows_are_refused_above_the_share(job: Callable[..., Job]) -> None:
    given = [*rows(6), *(row for row in rows(8, length=60) if row.id in ("row6", "row7"))]
    with pytest.raises(Refused, match=r"2 of 8 rows are longer than max_length 512 .* allows 20%"):
        sft.train(job(given, cut=0.2))
    sft.train(job(given, cut=0.25, sft={**TINY, "max_steps": 1}))


def test_an_unknown_argument_is_named_with_its_neighbours(job: Callable[..., Job]) -> None:
    with pytest.raises(Refused, match=r"train\.sft\.learning_rat is no argument of .*; did you mean learning_rate"):
        arguments.config(job(sft={"learning_rat": 1}), cuda=False)
    with pytest.raises(Refused, match=r"train\.sft\.output_dir cannot be set"):
        arguments.config(job(sft={"output_dir": "x"}), cuda=False)
    assert arguments.config(job(sft={"learning_rate": "1e-5"}), cuda=False).learning_rate == 1e-5


def test_a_full_training_leaves_a_model_with_its_template(
    job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    made = job(sft={**TINY, "num_train_epochs": 3, "learning_rate": 1e-2})
    sft.train(made)
    report = Report.model_validate_json(made.report.read_text(), strict=False)
    assert report.loss[-1][1] < report.loss[0][1]
    assert [[part.trained for part in row.parts] for row in report.check.excerpts] == [[False, True, False]] * 3
    model = AutoModelForCausalLM.from_pretrained(made.output, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(made.output).chat_template == CHATML
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"event"')]
    assert events[0]["event"] == "checked"
    assert events[-1]["progress"]["step"] == events[-1]["progress"]["steps"] == report.steps


@pytest.mark.parametrize("lora", [None, LORA])
def test_packed_rows_are_checked_and_do_not_see_each_other(
    job: Callable[..., Job], lora: dict[str, Any] | None
) -> None:
    once = {**TINY, "max_steps": 1, "learning_rate": 0.0, "bf16": False}
    made = job(sft={**once, "packing": True, "model_init_kwargs": {"dtype": "float32"}}, lora=lora)
    packed = Report.model_validate_json(trained(made), strict=False)
    apart = job(sft={**once, "per_device_train_batch_size": 8, "model_init_kwargs": {"dtype": "float32"}}, lora=lora)
    unpacked = Report.model_validate_json(trained(apart), strict=False)
    assert packed.tokens == unpacked.tokens
    assert packed.loss[0][1] == pytest.approx(unpacked.loss[0][1], abs=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_logits_of_a_packed_row_are_those_of_the_row_alone(student: Path, attention: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32, attn_implementation=attention)
    given = [torch.arange(start, start + length) for start, length in ((5, 40), (90, 7), (200, 25))]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = collate([{"input_ids": row.tolist(), "labels": row.tolist()} for row in given])
    batch.pop("labels")
    packed = model(**batch, use_cache=False).logits[0]
    for row, logits in zip(given, packed.split([len(row) for row in given]), strict=True):
        torch.testing.assert_close(logits, model(row[None]).logits[0], atol=1e-5, rtol=1e-4)


def test_a_student_whose_packed_rows_see_each_other_is_refused(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # an attention implementation that only knows one causal sequence, registered as any other would be
    def leaky(module: Any, query: Any, key: Any, value: Any, mask: Any, **rest: Any) -> Any:
        return sdpa_attention_forward(module, query, key, value, None, **rest)

    AttentionInterface.register("leaky", leaky)
    AttentionMaskInterface.register("leaky", lambda *_, **__: None)
    given = {**TINY, "packing": True, "max_steps": 1, "model_init_kwargs": {"attn_implementation": "leaky"}}
    with pytest.raises(Refused, match=r"see each other in this student \(attention: leaky; .* take packing and"):
        sft.train(job(sft=given))
    with pytest.raises(Refused, match="see each other"):
        sft.train(job(sft={**given, "packing": False, "padding_free": True}))
    sft.train(job(sft={**given, "packing": False}))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"packing": True, "packing_strategy": "wrapped"}, "cuts rows in two"),
        ({"packing": True, "packing_strategy": "bfd_split"}, "cuts rows in two"),
        ({"packing": True, "max_length": None}, "needs max_length"),
    ],
)
def test_packing_that_cuts_rows_is_refused(job: Callable[..., Job], given: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        arguments.config(job(sft={**TINY, **given}), cuda=False)


def test_a_pack_is_a_batch_of_its_own(job: Callable[..., Job]) -> None:
    assert arguments.config(job(sft={"packing": True}), cuda=False).per_device_train_batch_size == 1
    assert arguments.config(job(sft={"packing": True, "per_device_train_batch_size": 2}), cuda=False).packing
    assert not arguments.config(job(sft={}), cuda=False).packing


def test_rows_without_padding_make_the_same_steps(job: Callable[..., Job]) -> None:
    given = [row for length in (1, 9, 2, 5) for row in rows(2, length)]
    losses = [
        Report.model_validate_json(trained(job(given, sft={**TINY, **padding_free})), strict=False).loss
        for padding_free in ({}, {"padding_free": True})
    ]
    assert [loss for _, loss in losses[0]] == pytest.approx([loss for _, loss in losses[1]], abs=1e-4)


def trained(job: Job) -> str:
    sft.train(job)
    return job.report.read_text("utf-8")


def test_the_stage_trains_in_another_process(
    job: Callable[..., Job], student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # no network but this test's own
    given = {name: value for name, value in TINY.items() if name != "report_to"}
    made = job(sft=given, lora=LORA)
    recipe = Train(student="someone/student")
    told = apart.train(made, recipe, "train", Screen(), Place(), lambda _: None, lambda _: None)
    assert told
    report = Report.model_validate_json(told, strict=False)
    assert report.steps == 2
    with sqlite3.connect(tmp_path / "trackio" / "lessons.db") as database:
        logged = [json.loads(metrics) for (metrics,) in database.execute("SELECT metrics FROM metrics")]
    told = [entry for entry in logged if "train/loss" in entry]
    assert [entry["train/loss"] for entry in told] == pytest.approx([loss for _, loss in report.loss])
    assert all(entry["train/tokens_per_second"] > 0 and entry["train/memory_gb"] > 0 for entry in told)
    settings = json.loads((Path(made.output) / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "someone/student"
    for file in Path(made.output).rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), file
    merged = AutoModelForCausalLM.from_pretrained(made.output, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32), str(Path(made.output) / "adapter")
    )
    ids = torch.arange(40)[None]
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, atol=0.05, rtol=0.05)


def test_a_refusal_reaches_the_stage_as_one_line(job: Callable[..., Job], tmp_path: Path) -> None:
    job(sft={"learning_rat": 1})
    asked = subprocess.run(
        [sys.executable, "-m", "pipelines.training", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        check=False,
        cwd=launch.ROOT,
    )
    assert asked.returncode == 3
    assert json.loads(asked.stdout)["event"] == "refused"


@pytest.mark.parametrize(
    ("code", "log", "line"),
    [
        (
            1,
            "Traceback\n  File x\ntorch.OutOfMemoryError: CUDA out of memory\nChildFailedError: x",
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        (-9, "loading", "it was ended by SIGKILL, most likely for want of memory"),
        (2, "first\nusage: x", "exit code 2; the log ends: first / usage: x"),
    ],
)
def test_the_reason_of_a_crash_is_one_line(code: int, log: str, line: str) -> None:
    assert launch.reason(code, log) == line


@pytest.mark.parametrize("kind", ["ddp", "zero3", "fsdp2"])
def test_every_accelerate_config_is_shipped(kind: Any, tmp_path: Path) -> None:
    command = launch.command(Train(student="x/y", accelerate=kind, processes=8), tmp_path / "job.json", Place())
    assert Path(command[command.index("--config_file") + 1]).is_file()
    assert command[command.index("--num_processes") + 1] == "8"


def test_several_machines_are_told_by_their_environment(tmp_path: Path) -> None:
    recipe = Train(student="x/y", accelerate="fsdp2", processes=8, machines=2)
    here = launch.place(2, {"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"})
    words = launch.command(recipe, tmp_path / "job.json", here)
    for option, value in {
        "--num_machines": "2",
        "--machine_rank": "1",
        "--main_process_ip": "10.0.0.1",
        "--main_process_port": "4000",
        "--num_processes": "16",
    }.items():
        assert words[words.index(option) + 1] == value
    assert not here.first
    assert launch.place(2, {"NODE_RANK": "0", "MASTER_ADDR": "x"}).port == launch.PORT
    for environment in ({}, {"NODE_RANK": "0"}, {"NODE_RANK": "2", "MASTER_ADDR": "x"}, {"MASTER_ADDR": "x"}):
        with pytest.raises(StageError, match="set NODE_RANK on each of them"):
            launch.place(2, environment)
