"""Train the student: the part that runs in processes of its own, under accelerate.

    python -m pipelines.training JOB.json
    accelerate launch --config_file pipelines/accelerate/zero3.yaml --num_processes 8 -m pipelines.training JOB.json

What goes in and comes out is in `trainjob`. All arguments of TRL's SFTConfig pass through by TRL's names; the defaults
that differ from TRL's are in `DEFAULTS`, each with its reason.
"""

import dataclasses
import difflib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.helpers import disable_input_dtype_casting
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipelines import chat_template, preflight
from pipelines.chat_template import Refused
from pipelines.frozen_head import add_frozen_head, fits
from pipelines.trainjob import Check, Job, Progress, Report, Row

LOOKED_AT = 64
"""Rows whose labels are read back from the trainer's own batches."""

DEFAULTS: Mapping[str, Any] = {
    "max_length": 4096,  # TRL: 1024, shorter than a chain of thought
    "gradient_checkpointing": False,  # TRL: True, a quarter slower, and only needed where the memory is
    "logging_steps": 1,  # the loss curve goes into the model's card
    "save_strategy": "no",  # the finished model goes to the Hub
    "report_to": "none",
    "disable_tqdm": True,  # progress is told as events
}
OURS: Mapping[str, str] = {
    "output_dir": "the stage chooses it",
    "seed": "give the recipe's seed",
    "assistant_only_loss": "the loss is on the response alone, always",
    "completion_only_loss": "the loss is on the response alone, always",
    "chat_template_path": "give train.template",
    "dataset_kwargs": "the rows are prepared by the pre-flight",
    "push_to_hub": "the stage publishes the model",
}


def main(path: str) -> int:
    job = Job.model_validate_json(Path(path).read_text("utf-8"), strict=False)
    try:
        train(job)
    except Refused as refused:
        tell("refused", why=str(refused))
        return 3
    return 0


def train(job: Job) -> None:
    arguments = config(job, torch.cuda.is_available())
    rows = [Row.model_validate_json(line, strict=False) for line in Path(job.rows).read_text("utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(job.student)
    template = chat_template.choose(tokenizer, job.template, [row.messages for row in rows[:LOOKED_AT]])
    stops = stop_tokens(job.student, tokenizer)
    examples = preflight.prepare(rows, tokenizer, template.text, stops)
    languages = preflight.measure(examples, arguments.max_length)
    longest = max(len(example.ids) for example in examples)
    preflight.refuse_cut(languages, longest, arguments.max_length, job.cut)

    tokenizer.chat_template = template.text
    trainer = SFTTrainer(
        model=job.student,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"input_ids": e.ids, "labels": e.labels} for e in examples]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **job.lora) if job.lora else None,
    )
    adapted = trainer.model if arguments.use_cpu and isinstance(trainer.model, PeftModel) else None
    if adapted and fits(adapted):
        add_frozen_head(adapted)
    preflight.check(examples, fed(trainer), tokenizer, stops)
    ids, labels = next(fed(trainer))
    check = Check(
        template=template.name,
        why=template.why,
        max_length=arguments.max_length,
        longest=longest,
        languages=languages,
        excerpt=preflight.excerpt(ids, labels, tokenizer),
    )
    tell("checked", check=check.model_dump())

    curve = Curve()
    trainer.add_callback(curve)
    started = time.monotonic()
    # PEFT casts what goes into an adapter to float32, for autocast to cast it back: a quarter of the time on a CPU.
    with disable_input_dtype_casting(adapted) if adapted and arguments.bf16 else nullcontext():
        trainer.train()
    seconds = time.monotonic() - started
    trainer.save_model(str(job.trained))
    if trainer.accelerator.is_main_process:
        assemble(job, tokenizer)
        report = Report(
            check=check,
            arguments={**DEFAULTS, "bf16": arguments.bf16, "model_init_kwargs": arguments.model_init_kwargs, **job.sft},
            steps=trainer.state.global_step,
            tokens=curve.tokens,
            seconds=seconds,
            loss=tuple(curve.loss),
        )
        job.report.write_text(report.model_dump_json(), "utf-8")


def config(job: Job, cuda: bool) -> SFTConfig:
    """The recipe's arguments over our defaults, or a refusal that names the argument."""
    fields = {field.name: field for field in dataclasses.fields(SFTConfig) if field.init}
    given: dict[str, Any] = {}
    for name, value in job.sft.items():
        if name in OURS:
            raise Refused(f"train.sft.{name} cannot be set: {OURS[name]}")
        if name not in fields:
            near = difflib.get_close_matches(name, set(fields) - set(OURS), n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ", see the documentation of SFTConfig"
            raise Refused(f"train.sft.{name} is no argument of TRL's SFTConfig{hint}")
        if fields[name].type is float and isinstance(value, str):  # YAML reads `1e-5`, without a point, as a string
            try:
                value = float(value)
            except ValueError:
                raise Refused(f"train.sft.{name} must be a number (it is {value!r})") from None
        given[name] = value
    defaults = {**DEFAULTS, "use_cpu": not cuda, "bf16": torch.cuda.is_bf16_supported() if cuda else bool(job.lora)}
    # A full fine-tuning keeps float32 weights (computed with in bf16 where the GPU has it): at a learning rate of 1e-5
    # most steps are smaller than the last bit of a bf16 weight and would be rounded away. Adapters are float32 anyway.
    weights = {"dtype": "bfloat16" if job.lora else "float32", **(given.pop("model_init_kwargs", None) or {})}
    folder = str(job.trained)
    try:
        return SFTConfig(folder, seed=job.seed, model_init_kwargs=weights, **{**defaults, **given})
    except (TypeError, ValueError) as error:
        raise Refused(f"train.sft: {' '.join(str(error).split())}") from None


def stop_tokens(student: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens at which the student ends its turn, wherever it is served."""
    try:
        known = GenerationConfig.from_pretrained(student).eos_token_id
    except OSError:
        known = None
    ids = [*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id]
    return frozenset(token for token in ids if isinstance(token, int))


def fed(trainer: SFTTrainer) -> Iterator[tuple[list[int], list[int]]]:
    """The examples that the trainer's collator hands to the model, taken out of their pack where they are packed."""
    rows: Any = trainer.train_dataset
    collate: Any = trainer.data_collator
    for index in range(min(LOOKED_AT, len(rows))):
        batch = collate([rows[index]])
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        ends = batch["cu_seq_lens_q"].tolist() if "cu_seq_lens_q" in batch else [0, len(ids)]
        for start, end in pairwise(ends):
            yield ids[start:end], labels[start:end]


class Curve(TrainerCallback):
    """Collects the loss, and tells the progress as it is logged."""

    def __init__(self) -> None:
        self.loss: list[tuple[int, float]] = []
        self.tokens = 0
        self.started = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.started = time.monotonic()
        self._tell(state, None, None)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        if logs and "loss" in logs:
            self.loss.append((state.global_step, float(logs["loss"])))
            self.tokens = int(logs["num_tokens"])
            self._tell(state, float(logs["loss"]), self.tokens / (time.monotonic() - self.started))

    def _tell(self, state: TrainerState, loss: float | None, speed: float | None) -> None:
        progress = Progress(step=state.global_step, steps=state.max_steps, loss=loss, tokens_per_second=speed)
        tell("progress", progress=progress.model_dump())


def assemble(job: Job, tokenizer: PreTrainedTokenizerBase) -> None:
    """The finished model, in bf16: the adapter, as it was saved, merged into the student's weights."""
    unset_hf_deepspeed_config()  # else this model, too, would be spread over the processes
    source = job.student if job.lora else str(job.trained)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    if job.lora:
        model = PeftModel.from_pretrained(model, str(job.trained)).merge_and_unload()
        _publish_adapter(job)
    model.save_pretrained(job.output)
    tokenizer.save_pretrained(job.output)


def _publish_adapter(job: Job) -> None:
    """Copy the adapter, with the student named by its repo instead of by a folder of this machine."""
    folder = Path(job.output) / "adapter"
    folder.mkdir(parents=True)
    shutil.copy(job.trained / "adapter_model.safetensors", folder)
    settings = json.loads((job.trained / "adapter_config.json").read_text("utf-8"))
    settings |= {"base_model_name_or_path": job.student_repo, "revision": job.student_revision}
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def tell(event: str, **data: object) -> None:
    if PartialState().is_main_process:
        print(json.dumps({"event": event, **data}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
