"""How likely is a text: the log-probabilities of tokens that are given, not written."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POSITIONS = 256
"""Positions whose logits are held at the same time: 150,000 floats each."""

CHECK = "Two plus two is four. Дважды два — четыре."


def score(model: "PreTrainedModel", prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """The log-probability of each token but the first, given those before it.

    Padding on the right: no real token sees it. The logits are made from the last hidden states a few positions at a
    time, and only where a token follows: all at once they would be gigabytes.
    """
    head: Any = model.get_output_embeddings()
    with torch.inference_mode():
        rows = [torch.tensor(prompt, device=model.device) for prompt in prompts]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        mask = torch.arange(ids.shape[1], device=model.device) < lengths[:, None]
        hidden = model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        known, wanted = hidden[:, :-1][mask[:, 1:]], ids[:, 1:][mask[:, 1:]]
        found: list[float] = []
        for states, targets in zip(known.split(POSITIONS), wanted.split(POSITIONS), strict=True):
            logits = head(states).float()
            chosen = logits.gather(-1, targets[:, None]).squeeze(-1)
            found.extend((chosen - logits.logsumexp(-1)).tolist())
    values = iter(found)
    return [[next(values) for _ in prompt[1:]] for prompt in prompts]


def check(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """ValueError for a model whose scores would be wrong, because it does more after its last hidden states."""
    ids: Any = tokenizer(CHECK, return_tensors="pt")["input_ids"]
    ids = ids.to(model.device)
    whole: Any = model
    with torch.inference_mode():
        expected = whole(ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    if not torch.allclose(expected, torch.tensor(score(model, ids.tolist())[0], device=model.device), atol=0.05):
        raise ValueError(f"{model.config.model_type} changes its logits after the output layer, which is not done here")
