"""Write the answers to many prompts at once, each with its own seed, temperature and limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIKELY = 256
"""Tokens among which a nucleus is looked for first: to sort a whole vocabulary of 150,000 takes as long as a layer."""


@dataclass(frozen=True, slots=True)
class Task:
    prompt: tuple[int, ...]
    limit: int
    """Tokens to write at the most."""
    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    penalty: float
    """The repetition penalty; 1 is none."""
    seed: int


@dataclass(frozen=True, slots=True)
class Written:
    ids: tuple[int, ...]
    """The token that ends the turn is the last of them, where it was written."""
    ended: bool


def generate(model: "PreTrainedModel", tasks: Sequence[Task], ends: Sequence[int]) -> list[Written]:
    """Decoded together, until the last one has ended or reached its limit.

    What all prompts begin with (an instruction, an example) is read once; the padding stands between it and the rest.
    What is random comes from a generator of each task's own, so that its answer does not depend on its neighbours,
    but for the rounding of a batched multiplication.
    """
    width = max(len(task.prompt) for task in tasks)
    shared = _shared([task.prompt for task in tasks])
    ids = torch.full((len(tasks), width), ends[0], device=model.device)
    mask = torch.ones_like(ids)
    for row, task in enumerate(tasks):
        rest = width - len(task.prompt) + shared
        ids[row, :shared] = torch.tensor(task.prompt[:shared], device=model.device)
        ids[row, rest:] = torch.tensor(task.prompt[shared:], device=model.device)
        mask[row, shared:rest] = 0
    # all that the model's own configuration says about sampling is the caller's to decide
    model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=ends[0], do_sample=False)
    longest = max(task.limit for task in tasks)
    generator: Any = model
    with torch.inference_mode():
        output = generator.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=_read(model, ids[:1, :shared], len(tasks)),
            max_new_tokens=longest,
            logits_processor=LogitsProcessorList([_Drawn(tasks, mask.bool())]),
            stopping_criteria=StoppingCriteriaList([_Limits(tasks, width)]),
        )
    return [_written(row, task.limit, ends) for row, task in zip(output[:, width:].tolist(), tasks, strict=True)]


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all begin with; each keeps one at least that is its own, from which its answer begins."""
    first, last = min(prompts), max(prompts)  # what these two share, all between them share
    most = min(len(prompt) for prompt in prompts) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)


def _read(model: "PreTrainedModel", ids: torch.Tensor, rows: int) -> DynamicCache:
    """The model's cache after the shared beginning (1 x tokens), once for each row."""
    cache = DynamicCache(config=model.config)
    if ids.shape[1]:
        model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache


def _written(row: list[int], limit: int, ends: Sequence[int]) -> Written:
    """Up to the first token that ends the turn; what stands behind it is padding."""
    ids = row[:limit]
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    return Written(tuple(ids), False) if end is None else Written(tuple(ids[: end + 1]), True)


class _Drawn(LogitsProcessor):
    """Draws each row's token by the row's own rule, and leaves it as the only one that is possible."""

    def __init__(self, tasks: Sequence[Task], mask: torch.Tensor) -> None:
        self.tasks = tasks
        self.mask = mask
        self.generators = [torch.Generator(mask.device).manual_seed(task.seed) for task in tasks]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row, task in enumerate(self.tasks):
            if task.penalty != 1:
                width = self.mask.shape[1]
                seen = torch.cat([input_ids[row, :width][self.mask[row]], input_ids[row, width:]]).unique()
                logits = scores[row, seen]
                scores[row, seen] = torch.where(logits < 0, logits * task.penalty, logits / task.penalty)
            if task.temperature > 0:
                token = self._draw(scores[row].float() / task.temperature, task.top_p, self.generators[row])
                scores[row] = float("-inf")
                scores[row, token] = 0
        return scores

    @staticmethod
    def _draw(logits: torch.Tensor, top_p: float, generator: torch.Generator) -> torch.Tensor:
        probabilities = logits.softmax(-1)
        if top_p < 1:
            ranked, order = probabilities.topk(min(LIKELY, len(probabilities)))
            if ranked.sum() < top_p:
                ranked, order = probabilities.sort(descending=True)
            ranked[ranked.cumsum(-1) - ranked >= top_p] = 0  # the likeliest one always stays
            return order[torch.multinomial(ranked, 1, generator=generator)]
        return torch.multinomial(probabilities, 1, generator=generator)


class _Limits(StoppingCriteria):
    def __init__(self, tasks: Sequence[Task], width: int) -> None:
        self.limits = torch.tensor([width + task.limit for task in tasks])

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> Any:
        return self.limits.to(input_ids.device) <= input_ids.shape[1]
