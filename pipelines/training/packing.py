"""Whether rows that share a pack see each other.

The collator puts the rows of a pack one behind the other, and tells where each begins. Whether a model heeds that
depends on its architecture and on its attention implementation, and one that does not trains without complaint. So it
is tried on the student itself, in every way of training alike: the first row of a pack is replaced, and nothing that
the model makes of the second row may change.
"""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from pipelines.training.chat_template import Refused

TRIED = 24
"""Tokens of each of the rows that are packed for the trial."""
TOLERANCE = 1e-3
"""Of the largest logit: what may change by rounding. A row that sees its neighbour changes far more."""


class Apart(TrainerCallback):
    """Refuses once the model is placed and wrapped, and before the first step."""

    def __init__(self, trainer: SFTTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if self.trainer.padding_free and (change := leak(self.trainer)) > TOLERANCE:
            model: Any = self.trainer.model
            raise Refused(
                f"rows that share a pack see each other in this student (attention: "
                f"{model.config._attn_implementation}; {change:.1%} of a row's logits come from its neighbour): take "
                "packing and padding_free out of train.sft, or give model_init_kwargs: {attn_implementation: ...} one "
                "that keeps them apart, such as flash_attention_2"
            )


@torch.no_grad()
def leak(trainer: SFTTrainer) -> float:
    """By how much the logits of a row change with its neighbour in the pack, relative to the largest of them."""
    model: Any = trainer.model_wrapped
    training = model.training
    model.eval()
    words = torch.arange(3 * TRIED) % trainer.model.config.get_text_config().vocab_size  # pyright: ignore
    first, second, third = words.split(TRIED)
    seen = [_logits(trainer, model, [neighbour, second])[0, TRIED:] for neighbour in (first, third)]
    model.train(training)
    return float((seen[0] - seen[1]).abs().max() / seen[0].abs().max())


def _logits(trainer: SFTTrainer, model: Any, rows: list[torch.Tensor]) -> torch.Tensor:
    collate = trainer.data_collator
    assert isinstance(collate, DataCollatorForLanguageModeling)
    batch = collate([{"input_ids": row.tolist(), "labels": row.tolist()} for row in rows])
    batch.pop("labels")
    inputs = trainer._prepare_inputs(batch)
    with trainer.compute_loss_context_manager():
        return model(**inputs, use_cache=False).logits.float()
