"""Training on a tiny model with a random start: what is trained, what is refused, and what comes out."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import make_student
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from trl import chat_template_utils
from trl.trainer.utils import add_fused_lm_head

from pipelines import chat_template, frozen_head, preflight, training
from pipelines.chains import join
from pipelines.chat_template import Refused
from pipelines.recipe import Train
from pipelines.screen import Screen
from pipelines.stages import train
from pipelines.trainjob import Job, Report, Row

CHATML = chat_template_utils.qwen2_5_chat_template
DEEPSEEK = chat_template_utils.deepseek_r1_distill_chat_template
STRIPPING = CHATML.replace("message.content + '<|im_end|>'", "message.content.split('</think>')[-1] + '<|im_end|>'")
QUESTION = "У Ани {} яблок, ей дали ещё {}. Сколько стало?"
REASONING = "Было {}, дали {}. Складываем: всё верно."
TINY = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "learning_rate": 1e-3, "max_length": 512}


def rows(count: int = 8, length: int = 1) -> list[Row]:
    return [
        Row(
            id=f"row{i}",
            language="ru",
            messages=(
                {"role": "user", "content": QUESTION.format(i, i + 1)},
                {
                    "role": "assistant",
                    "content": join(" ".join([REASONING.format(i, i + 1)] * length), f"Ответ: {2 * i + 1}"),
                },
            ),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"), CHATML, hidden_size=64, intermediate_size=128)


@pytest.fixture
def tokenizer(student: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(student)


@pytest.fixture
def job(student: Path, tmp_path: Path) -> Callable[..., Job]:
    def write(given: Sequence[Row] = (), **changes: Any) -> Job:
        values = {
            "student": str(student),
            "student_repo": "someone/student",
            "student_revision": "0" * 40,
            "rows": str(tmp_path / "rows.jsonl"),
            "output": str(tmp_path / "model"),
            "template": None,
            "lora": None,
            "cut": 0.0,
            "seed": 0,
            "sft": TINY,
        }
        made = Job.model_validate(values | changes)
        Path(made.rows).write_text("".join(row.model_dump_json() + "\n" for row in given or rows()), "utf-8")
        (tmp_path / "job.json").write_text(made.model_dump_json(), "utf-8")
        return made

    return write


def conversations(given: Sequence[Row]) -> list[Sequence[Mapping[str, str]]]:
    return [row.messages for row in given]


def stops(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    return frozenset({int(tokenizer.eos_token_id)})


def trained_text(example: preflight.Example, tokenizer: PreTrainedTokenizerFast) -> str:
    return str(tokenizer.decode([label for label in example.labels if label != preflight.MASKED]))


def test_exactly_the_response_and_its_end_are_trained(tokenizer: PreTrainedTokenizerFast) -> None:
    for row, example in zip(rows(), preflight.prepare(rows(), tokenizer, CHATML, stops(tokenizer)), strict=True):
        assert trained_text(example, tokenizer) == row.messages[-1]["content"] + "<|im_end|>"
        assert preflight.fault(example, example.labels, tokenizer, stops(tokenizer)) is None


def test_the_tokens_are_those_of_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    for row, example in zip(rows(), preflight.prepare(rows(), tokenizer, CHATML, stops(tokenizer)), strict=True):
        assert example.ids == tokenizer.apply_chat_template([dict(m) for m in row.messages])["input_ids"]
        prompt = tokenizer.apply_chat_template([dict(row.messages[0])], add_generation_prompt=True)["input_ids"]
        assert example.ids[: example.prompt] == prompt


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda e, ids: [*ids[: e.prompt], *e.labels[e.prompt :]], "tokens of the prompt"),
        (lambda e, ids: [-100] * (len(ids) - 8) + ids[-8:], "the reasoning is missing"),
        (lambda e, ids: [-100 if label == e.labels[-2] else label for label in e.labels], "would never stop"),
    ],
)
def test_spoiled_labels_are_found(
    tokenizer: PreTrainedTokenizerFast, spoil: Callable[[preflight.Example, list[int]], list[int]], why: str
) -> None:
    example = preflight.prepare(rows(1), tokenizer, CHATML, stops(tokenizer))[0]
    assert why in str(preflight.fault(example, spoil(example, example.ids), tokenizer, stops(tokenizer)))


def test_a_prompt_that_merges_with_its_response_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    # the generation prompt ends in a letter that the response goes on with, and the two become one token
    merging = "{{ messages[0].content }}{% if messages | length > 1 %}{{ messages[1].content }}{% endif %}<|im_end|>"
    prompt = merging.replace("<|im_end|>", "{% if messages | length > 1 %}<|im_end|>{% endif %}")
    row = Row(
        id="x",
        language="ru",
        messages=({"role": "user", "content": "Скл"}, {"role": "assistant", "content": "адываем"}),
    )
    with pytest.raises(Refused, match="row x: the tokens of the prompt are not the first"):
        preflight.prepare([row], tokenizer, prompt, stops(tokenizer))


def test_the_students_own_template_is_kept_where_it_keeps_the_reasoning(tokenizer: PreTrainedTokenizerFast) -> None:
    assert chat_template.choose(tokenizer, None, conversations(rows())).text == CHATML


def test_the_stock_deepseek_template_is_swapped(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = DEEPSEEK
    chosen = chat_template.choose(tokenizer, None, conversations(rows()))
    assert "removes the reasoning" in chosen.why
    prompt, whole = chat_template.render(tokenizer, chosen.text, rows()[1].messages)
    assert prompt == chat_template.render(tokenizer, DEEPSEEK, rows()[1].messages)[0]
    assert REASONING.format(1, 2) in whole


def test_a_template_that_strips_the_reasoning_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    assert STRIPPING != CHATML
    tokenizer.chat_template = STRIPPING
    with pytest.raises(Refused, match=r"removes the reasoning from the response; give train\.template"):
        chat_template.choose(tokenizer, None, conversations(rows()))
    assert "qwen2_5_training" in chat_template.choose(tokenizer, "qwen2_5", conversations(rows())).name


def test_an_unknown_template_is_refused_with_its_neighbours(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Refused, match=r"qwen_2_5 is neither .* qwen2_5"):
        chat_template.choose(tokenizer, "qwen_2_5", conversations(rows()))


def training_templates() -> Iterator[str]:
    for name in dir(chat_template_utils):
        if name.endswith("_training_chat_template") and not name.startswith("get_"):
            yield name


@pytest.mark.parametrize("name", list(training_templates()))
def test_a_portable_template_renders_the_same(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    text = getattr(chat_template_utils, name)
    portable = chat_template.portable(text)
    assert not re.search(r"\{%[-+]?\s*(end)?generation", portable)
    try:
        rendered = chat_template.render(tokenizer, text, rows()[0].messages)
    except Refused:
        pytest.skip("it needs messages of another kind")
    assert chat_template.render(tokenizer, portable, rows()[0].messages) == rendered


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
        training.train(job(given, cut=0.2))
    training.train(job(given, cut=0.25, sft={**TINY, "max_steps": 1}))


def test_an_unknown_argument_is_named_with_its_neighbours(job: Callable[..., Job]) -> None:
    with pytest.raises(Refused, match=r"train\.sft\.learning_rat is no argument of .*; did you mean learning_rate"):
        training.config(job(sft={"learning_rat": 1}), cuda=False)
    with pytest.raises(Refused, match=r"train\.sft\.output_dir cannot be set"):
        training.config(job(sft={"output_dir": "x"}), cuda=False)
    assert training.config(job(sft={"learning_rate": "1e-5"}), cuda=False).learning_rate == 1e-5


def test_a_full_training_leaves_a_model_with_its_template(
    job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    made = job(sft={**TINY, "num_train_epochs": 3, "learning_rate": 1e-2})
    training.train(made)
    report = Report.model_validate_json(made.report.read_text(), strict=False)
    assert report.loss[-1][1] < report.loss[0][1]
    assert [part.trained for part in report.check.excerpt] == [False, True, False]
    model = AutoModelForCausalLM.from_pretrained(made.output, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(made.output).chat_template == CHATML
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"event"')]
    assert events[0]["event"] == "checked"
    assert events[-1]["progress"]["step"] == events[-1]["progress"]["steps"] == report.steps


def test_packed_rows_are_checked_and_do_not_see_each_other(job: Callable[..., Job]) -> None:
    made = job(sft={**TINY, "packing": True, "max_steps": 1, "learning_rate": 0.0})
    training.train(made)
    packed = Report.model_validate_json(made.report.read_text(), strict=False)
    apart = job(sft={**TINY, "max_steps": 1, "learning_rate": 0.0, "per_device_train_batch_size": 8})
    training.train(apart)
    unpacked = Report.model_validate_json(made.report.read_text(), strict=False)
    assert packed.tokens == unpacked.tokens
    assert packed.loss[0][1] == pytest.approx(unpacked.loss[0][1], abs=1e-5)


def test_the_stage_trains_in_another_process(job: Callable[..., Job], student: Path, tmp_path: Path) -> None:
    made = job(lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"})
    report = train.train_apart(made, Train(student="someone/student"), Screen())
    assert report.steps == 2
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
        cwd=train.ROOT,
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
    assert train.reason(code, log) == line


@pytest.mark.parametrize("kind", ["ddp", "zero3", "fsdp2"])
def test_every_accelerate_config_is_shipped(kind: Any, tmp_path: Path) -> None:
    command = train.command(Train(student="x/y", accelerate=kind, processes=8), tmp_path / "job.json")
    assert Path(command[command.index("--config_file") + 1]).is_file()
    assert command[command.index("--num_processes") + 1] == "8"
