"""The whole of a supervised fine-tuning."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.helpers import disable_input_dtype_casting
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipelines.training import chat_template, preflight
from pipelines.training.arguments import config, defaults
from pipelines.training.assembly import assemble
from pipelines.training.chat_template import stop_tokens
from pipelines.training.checkpoints import Saving
from pipelines.training.frozen_head import add_frozen_head, fits
from pipelines.training.job import Check, Job, Measure, Report, Row
from pipelines.training.machines import agree
from pipelines.training.packing import Apart
from pipelines.training.preparation import Preparation, prepare
from pipelines.training.progress import Telling, curve, tell


def train(job: Job) -> None:
    cuda = torch.cuda.is_available()
    arguments = config(job, cuda)
    agree(job)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(job.student)
    template = chat_template.choose(tokenizer, job.template, _first_conversations(job))
    stops = stop_tokens(job.student, tokenizer)
    longest = arguments.max_length
    prepared, measure = _prepared(job, Preparation(tokenizer, template, stops), longest)
    preflight.refuse_cut(measure, longest, job.cut)

    tokenizer.chat_template = template.text
    trainer, adapted = _trainer(job, arguments, tokenizer, prepared)
    fed = preflight.read_back(trainer, prepared)
    check = Check(
        template=template.name,
        why=template.why,
        template_digest=template.digest,
        max_length=longest,
        measure=measure,
        found=preflight.check(fed, tokenizer, stops),
        excerpts=preflight.excerpts(fed, tokenizer),
    )
    tell("checked", check=check.model_dump())

    telling = Telling()
    trainer.callback_handler.callbacks.insert(0, telling)
    trainer.add_callback(Apart(trainer))
    saving = Saving(job)
    trainer.add_callback(saving)
    started = time.monotonic()
    # PEFT casts what goes into an adapter to float32, for autocast to cast it back: a quarter of the time on a CPU.
    with disable_input_dtype_casting(adapted) if adapted and arguments.bf16 else nullcontext():
        trainer.train(resume_from_checkpoint=job.resume)
    seconds = time.monotonic() - started
    if saving.stopped:
        return
    trainer.save_model(str(job.trained))
    if trainer.accelerator.is_main_process:
        assemble(job, tokenizer)
        report = Report(
            check=check,
            arguments={**defaults(job, cuda), **job.sft},
            steps=trainer.state.global_step,
            tokens=telling.tokens,
            seconds=seconds,
            resumed=telling.resumed,
            loss=curve(trainer.state),
        )
        job.report.write_text(report.model_dump_json(), "utf-8")


def _first_conversations(job: Job) -> Sequence[Sequence[Mapping[str, str]]]:
    with Path(job.rows).open("rb") as lines:
        return [Row.model_validate_json(line, strict=False).messages for line in islice(lines, preflight.LOOKED_AT)]


def _prepared(job: Job, preparation: Preparation, max_length: int | None) -> tuple[Dataset, Measure]:
    """The examples, mapped from their file; one process of each machine makes them."""
    state, found = PartialState(), job.prepared.with_suffix(".json")
    with state.local_main_process_first():
        if state.is_local_main_process:
            measure = prepare(Path(job.rows), job.prepared, preparation, max_length)
            found.write_text(measure.model_dump_json(), "utf-8")
    return Dataset.from_file(str(job.prepared)), Measure.model_validate_json(found.read_text("utf-8"), strict=False)


def _trainer(
    job: Job, arguments: SFTConfig, tokenizer: PreTrainedTokenizerBase, prepared: Dataset
) -> tuple[SFTTrainer, PeftModel | None]:
    """TRL's trainer, and the adapted model where its head can be made cheaper."""
    if not arguments.packing:
        arguments.max_length = None  # the rows are cut already
    trainer = SFTTrainer(
        model=job.student,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=prepared.select_columns(["input_ids", "labels"]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **job.lora) if job.lora else None,
    )
    adapted = trainer.model if arguments.use_cpu and isinstance(trainer.model, PeftModel) else None
    if adapted and fits(adapted):
        add_frozen_head(adapted)
    return trainer, adapted
