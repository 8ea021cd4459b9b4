"""All arguments of TRL's SFTConfig pass through by TRL's names. The defaults that differ from TRL's are here, each with
its reason; so are the arguments that cannot be set."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments
from transformers.integrations.integration_utils import is_trackio_available
from transformers.utils.import_utils import is_liger_kernel_available
from trl.trainer.sft_config import SFTConfig

from pipelines.training.chat_template import Refused
from pipelines.training.job import Job, Training

C = TypeVar("C", bound=TrainingArguments)
SECTION = "train.sft"

OF_EVERY_TRAINER: Mapping[str, Any] = {
    "logging_steps": 1,  # the loss curve goes into the model's card
    "save_strategy": "no",  # checkpoints are taken by the clock, as the recipe's `checkpoints` says
    "disable_tqdm": True,  # progress is told as events
}
DEFAULTS: Mapping[str, Any] = {
    **OF_EVERY_TRAINER,
    "max_length": 4096,  # TRL: 1024, shorter than a chain of thought
}
THE_STAGES: Mapping[str, str] = {
    "output_dir": "the stage chooses it",
    "seed": "give the recipe's seed",
    "push_to_hub": "the stage publishes the model and its checkpoints",
    "resume_from_checkpoint": "the stage looks for one on the Hub",
    "save_only_model": "a checkpoint is there to go on from",
    "save_total_limit": "the stage removes a checkpoint once it is published",
    "use_cpu": "it follows from the machine",
}
"""Of every trainer."""
OURS: Mapping[str, str] = {
    **THE_STAGES,
    "assistant_only_loss": "the loss is on the response alone, always",
    "completion_only_loss": "the loss is on the response alone, always",
    "chat_template_path": "give train.template",
    "dataset_kwargs": "the rows are prepared by the pre-flight",
}


def config(job: Job, cuda: bool) -> SFTConfig:
    """The recipe's arguments over our defaults, or a refusal that names the argument."""
    made = built(SFTConfig, SECTION, job, known(SECTION, job.sft, SFTConfig, OURS), defaults(job, cuda), cuda)
    _check_packing(made)
    return made


def built(
    kind: type[C], section: str, job: Training, given: Mapping[str, Any], defaults: Mapping[str, Any], cuda: bool
) -> C:
    """TRL's config of this kind, what is `given` over the defaults; or a refusal in TRL's words."""
    weights = {**precision(job), **(given.get("model_init_kwargs") or {})}
    ours = {"seed": job.seed, "use_cpu": not cuda, "project": job.name}
    try:
        return kind(str(job.trained), **{**ours, **defaults, **given, "model_init_kwargs": weights})
    except (TypeError, ValueError) as error:
        raise Refused(f"{section}: {' '.join(str(error).split())}") from None


def defaults(job: Job, cuda: bool) -> dict[str, Any]:
    """What an argument is where the recipe does not say: of DEFAULTS, and of the machine."""
    packing = bool(job.sft.get("packing", cuda))
    return {
        **DEFAULTS,
        **of_the_machine(job, job.sft, cuda),
        "use_liger_kernel": cuda and is_liger_kernel_available(),  # its kernels are written for GPUs
        "packing": packing,  # chains differ in length by a factor of ten: nothing is spent on padding
        # a pack is as long as max_length already
        **({"per_device_train_batch_size": 1} if packing else {}),
    }


def of_the_machine(job: Training, given: Mapping[str, Any], cuda: bool) -> dict[str, Any]:
    """The same for every trainer."""
    return {
        # a full fine-tuning on a CPU stays in float32, where bf16 is no faster
        "bf16": torch.cuda.is_bf16_supported() if cuda else bool(job.lora),
        # a quarter slower, and only needed where the memory is short; the other name is an older one for the same
        **({} if "gradient_checkpointing" in given else {"activation_checkpointing": cuda}),
        **({"save_strategy": "steps"} if "save_steps" in given else {}),
        "report_to": "trackio" if is_trackio_available() else "none",  # on this machine: nothing leaves it
    }


def known(section: str, values: Mapping[str, Any], config: type[Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a section of the recipe gives, or a refusal that names the one that is none, or is `ours`."""
    fields = {field.name: field for field in dataclasses.fields(config) if field.init}
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name in ours:
            raise Refused(f"{section}.{name} cannot be set: {ours[name]}")
        if name not in fields:
            near = difflib.get_close_matches(name, set(fields) - set(ours), n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else f", see the documentation of {config.__name__}"
            raise Refused(f"{section}.{name} is no argument of TRL's {config.__name__}{hint}")
        if fields[name].type is float and isinstance(value, str):  # YAML reads `1e-5`, without a point, as a string
            try:
                value = float(value)
            except ValueError:
                raise Refused(f"{section}.{name} must be a number (it is {value!r})") from None
        given[name] = value
    return given


def precision(job: Training) -> Mapping[str, Any]:
    """A full fine-tuning keeps float32 weights (computed with in bf16 where the GPU has it): at a learning rate of 1e-5
    most steps are smaller than the last bit of a bf16 weight and would be rounded away. Adapters are float32 anyway."""
    return {"dtype": "bfloat16" if job.lora else "float32"}


def _check_packing(arguments: SFTConfig) -> None:
    if arguments.packing and arguments.packing_strategy != "bfd":
        raise Refused(
            f"train.sft.packing_strategy {arguments.packing_strategy} cuts rows in two, and trains their second part "
            "without the first: use bfd, which keeps every row whole"
        )
    if arguments.packing and arguments.max_length is None:
        raise Refused("train.sft.packing needs max_length: the length of a pack")
