"""The finished model: its weights in bf16, an adapter merged into them, and the template that it was trained with."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from pipelines.training.job import Training


def assemble(job: Training, tokenizer: PreTrainedTokenizerBase) -> None:
    """Merge the adapter, as it was saved, into the student's weights, or take over the weights that were trained."""
    unset_hf_deepspeed_config()  # else this model, too, would be spread over the processes
    source = job.student if job.lora else str(job.trained)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    if job.lora:
        model = PeftModel.from_pretrained(model, str(job.trained)).merge_and_unload()
        _publish_adapter(job)
    model.save_pretrained(job.output)
    tokenizer.save_pretrained(job.output)
    served = AutoTokenizer.from_pretrained(job.output).chat_template
    if served != tokenizer.chat_template:
        raise RuntimeError("the chat template that was saved is not the one that was trained with")


def _publish_adapter(job: Training) -> None:
    """Copy the adapter, with the student named by its repo instead of by a folder of this machine."""
    folder = Path(job.output) / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(job.trained / "adapter_model.safetensors", folder)
    settings = json.loads((job.trained / "adapter_config.json").read_text("utf-8"))
    settings |= {"base_model_name_or_path": job.student_repo, "revision": job.student_revision}
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
