"""The loss of LoRA training without a GPU: only where there is a label, and without the head's gradient.

TRL's fused head scores every position off CUDA, prompt and padding too, computes the logits twice, and multiplies by
the vocabulary in float32: 8.1 s of processor time for 640 tokens of a 0.5B student, beside 9.8 s for all its layers.
Under LoRA the head is frozen, so the gradient of a position's log-probability is known as soon as its logits are: one
pass forward, one multiplication back, a few positions at a time. That takes 1.4 s, and gives the same numbers.
"""

import functools
from typing import Any

import torch
from peft import PeftModel
from torch.autograd.function import FunctionCtx
from trl.trainer.utils import FusedCausalLMOutput

POSITIONS = 128
"""Positions scored at a time: what bounds the memory, at 4 bytes for each of them and each word of the vocabulary."""

EXTRAS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "output_multiplier",
    "output_router_logits",
)
"""Settings of models that do more to their logits, or to their loss; these are left to TRL."""


class FrozenHead(torch.autograd.Function):
    """Log-probability of each target, entropy, and whether the target was the likeliest token."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> tuple[Any, ...]:
        pieces = []
        for states, wanted in zip(hidden.split(POSITIONS), targets.split(POSITIONS), strict=True):
            logits = (states @ weight.T).float()
            best = logits.argmax(-1) == wanted
            log_p = logits.log_softmax(-1)
            p = log_p.exp()
            entropy = -(p * log_p).sum(-1)
            chosen = log_p.gather(-1, wanted[:, None])[:, 0]
            slope = weight[wanted].float() - (p.to(weight.dtype) @ weight).float()  # of log p(target), by the state
            pieces.append((chosen, entropy, best, slope.to(hidden.dtype)))
        chosen, entropy, best, slope = (torch.cat(piece) for piece in zip(*pieces, strict=True))
        ctx.save_for_backward(slope)
        ctx.mark_non_differentiable(entropy, best)
        return chosen, entropy, best

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (slope,) = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        return (gradients[0][:, None] * slope).to(slope.dtype), None, None


def fits(model: PeftModel) -> bool:
    """Whether the model's logits are nothing but `hidden @ weight.T`, with a weight that is not trained."""
    base: Any = model.get_base_model()
    head = base.get_output_embeddings()
    settings = base.config.get_text_config()
    return head.bias is None and not head.weight.requires_grad and not any(getattr(settings, x, None) for x in EXTRAS)


def add_frozen_head(model: PeftModel, temperature: float = 1.0) -> None:
    """Let the forward of TRL's trainers (`fused_lm_head=True`) of a PEFT model go through FrozenHead. The logits are
    divided by the `temperature`."""
    base: Any = model.get_base_model()
    original = base.forward

    @functools.wraps(original)  # whose signature `generate` looks at
    def forward(*, labels: torch.Tensor | None = None, fused_lm_head: bool = False, **inputs: object) -> object:
        if not fused_lm_head or labels is None:
            return original(labels=labels, **inputs)
        hidden = base.base_model(**{**inputs, "use_cache": False}).last_hidden_state[:, :-1]
        labels = labels[:, 1:]
        mask = labels != -100
        scores: Any = FrozenHead.apply(hidden[mask] / temperature, base.get_output_embeddings().weight, labels[mask])
        chosen, entropy, best = (score.new_zeros(mask.shape).masked_scatter(mask, score) for score in scores)
        return FusedCausalLMOutput(
            loss=-chosen.sum() / mask.sum().clamp(min=1),
            log_probs=chosen,
            entropy=entropy,
            is_top1=best,
            label_mask=mask,
        )

    base.forward = forward
