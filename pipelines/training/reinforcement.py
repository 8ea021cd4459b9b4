"""The whole of a reinforcement: TRL's GRPO, with the reward of `rewards`."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora import LoraLayer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from pipelines.training.assembly import assemble
from pipelines.training.chat_template import stop_tokens
from pipelines.training.frozen_head import add_frozen_head, fits
from pipelines.training.grpo_arguments import config, defaults, enough
from pipelines.training.job import Question, Reinforced, Reinforcement
from pipelines.training.machines import agree
from pipelines.training.progress import Telling, tell
from pipelines.training.rollouts import Rewards, SavingRollouts


def reinforce(job: Reinforcement) -> None:
    cuda = torch.cuda.is_available()
    arguments = config(job, cuda)
    agree(job)
    questions = [Question.model_validate_json(line) for line in Path(job.rows).read_text("utf-8").splitlines()]
    enough(len(questions), arguments)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(job.student)
    rewards = Rewards(job, tokenizer, stop_tokens(job.student, tokenizer))
    trainer = _trainer(job, arguments, tokenizer, rewards, questions)
    written_by = "vLLM" if arguments.use_vllm else "transformers"
    for line in told(arguments, questions, rewards.opened, written_by):
        tell("said", line=line)

    telling = Telling(anew=False)
    trainer.callback_handler.callbacks.insert(0, telling)
    saving = SavingRollouts(job)
    trainer.add_callback(saving)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=job.resume)
    seconds = time.monotonic() - started
    if saving.stopped:
        return
    trainer.save_model(str(job.trained))
    if trainer.accelerator.is_main_process:
        assemble(job, tokenizer)
        report = Reinforced(
            arguments={**defaults(job, cuda), **job.grpo},
            written_by=written_by,
            opened=rewards.opened,
            steps=trainer.state.global_step,
            tokens=telling.tokens,
            seconds=seconds,
            resumed=telling.resumed,
        )
        job.report.write_text(report.model_dump_json(), "utf-8")


class Trainer(GRPOTrainer):
    """TRL's, but for two savings without a GPU, and for the order of the prompts after a checkpoint."""

    epochs_before = 0
    """Those that came to their end before the checkpoint that it goes on from."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler: Any = super()._get_train_sampler(dataset)
        for _ in range(self.epochs_before):
            next(iter(sampler))  # draws an order; TRL's own would begin again with that of the first epoch
        return sampler

    def _generate_single_turn(self, *given: Any, **named: Any) -> Any:
        model: Any = self.model
        with merged(model) if self.args.use_cpu and isinstance(model, PeftModel) else nullcontext():
            return super()._generate_single_turn(*given, **named)

    def compute_loss(self, model: Any, *given: Any, **named: Any) -> Any:
        # only here: the responses are written without autocast, where PEFT has to cast
        with disable_input_dtype_casting(model, active=isinstance(model, PeftModel) and bool(self.args.bf16)):
            return super().compute_loss(model, *given, **named)


def _trainer(
    job: Reinforcement,
    arguments: GRPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    rewards: Rewards,
    questions: Sequence[Question],
) -> Trainer:
    rows = [{"prompt": [{"role": "user", "content": question.text}], **question.model_dump()} for question in questions]
    trainer = Trainer(
        model=job.student,
        args=arguments,
        reward_funcs=rewards,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **job.lora) if job.lora else None,
    )
    trainer.epochs_before = epochs(Path(job.resume)) if job.resume else 0
    if arguments.use_cpu and isinstance(trainer.model, PeftModel) and fits(trainer.model):
        add_frozen_head(trainer.model, arguments.temperature)
    return trainer


@contextmanager
def merged(model: PeftModel) -> Iterator[None]:
    """The adapter in the weights for as long as responses are written, which takes a third of the time on a CPU; then
    the very weights that were there before: to take it out again would leave their last bits rounded."""
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer) and isinstance(layer, torch.nn.Module)]
    before: list[Any] = [(weight := layer.get_base_layer().weight, weight.data) for layer in layers]
    for layer, (weight, data) in zip(layers, before, strict=True):
        delta: Any = layer.get_delta_weight("default")  # pyright: ignore[reportCallIssue]
        weight.data = (data.float() + delta.float()).to(data.dtype)
    try:
        with model.disable_adapter():
            yield
    finally:
        for weight, data in before:
            weight.data = data


def epochs(checkpoint: Path) -> int:
    """How many came to their end before it was taken."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return int((state.epoch or 0.0) + 1e-6)


def told(arguments: GRPOConfig, questions: Sequence[Question], opened: bool, written_by: str) -> Iterator[str]:
    """What a person should know before the first step."""
    languages = Counter(question.language for question in questions)
    yield "prompts: " + ", ".join(f"{language} {count}" for language, count in sorted(languages.items()))
    yield (
        f"{arguments.generation_batch_size} responses at a time, {arguments.num_generations} to a prompt, of "
        f"{arguments.max_completion_length} tokens at most, written by {written_by}"
    )
    yield "the chat template opens the think block" if opened else "the model opens the think block"
