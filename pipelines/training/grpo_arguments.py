"""All arguments of TRL's GRPOConfig pass through by TRL's names, as those of SFTConfig do (`arguments`)."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from pipelines.training.arguments import OF_EVERY_TRAINER, THE_STAGES, built, known, of_the_machine
from pipelines.training.chat_template import Refused
from pipelines.training.job import Reinforcement

DEFAULTS: Mapping[str, Any] = {
    **OF_EVERY_TRAINER,
    "max_completion_length": 4096,  # TRL: 256, shorter than a chain of thought
}
OURS: Mapping[str, str] = {
    **THE_STAGES,
    "reward_weights": "give reinforce.terms",
    "log_completions": "every response is published with its reward",
    "log_completions_hub_repo": "every response is published with its reward",
}
SECTION = "reinforce.grpo"


def config(job: Reinforcement, cuda: bool) -> GRPOConfig:
    """The recipe's arguments over our defaults, or a refusal that names the argument."""
    given = known(SECTION, job.grpo, GRPOConfig, OURS)
    if given.get("use_vllm") and not find_spec("vllm"):
        raise Refused(
            f"{SECTION}.use_vllm needs the package vllm, which is not installed here: pip install 'trl[vllm]' on a "
            "machine with a GPU, or leave use_vllm out, and transformers writes the responses"
        )
    return built(GRPOConfig, SECTION, job, given, defaults(job, cuda), cuda)


def defaults(job: Reinforcement, cuda: bool) -> dict[str, Any]:
    """What an argument is where the recipe does not say: of DEFAULTS, and of the machine."""
    return {
        **DEFAULTS,
        **of_the_machine(job, job.grpo, cuda),
        "use_vllm": cuda and find_spec("vllm") is not None,  # in the same process (TRL's mode `colocate`)
        # TRL's 1e-6 is for all weights; an adapter learns as much at ten times the rate (Schulman et al. 2025)
        **({"learning_rate": 1e-5} if job.lora else {}),
    }


def enough(prompts: int, arguments: GRPOConfig) -> None:
    """Refuse where there are fewer prompts than a step takes: TRL would drop them all, and make no step."""
    assert arguments.generation_batch_size  # TRL works both out
    assert arguments.num_generations
    wanted = arguments.generation_batch_size // arguments.num_generations
    if prompts < wanted:
        raise Refused(
            f"a step takes {wanted} prompts, and there are {prompts}: lower {SECTION}.per_device_train_batch_size or "
            "gradient_accumulation_steps, or take more samples in generate"
        )
