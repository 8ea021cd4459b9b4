"""Write the answers to many prompts at once, each with its own seed, temperature and limit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from pipelines.servers.cache import growing
from pipelines.servers.grammar import Grammar, Matcher

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIKELY = 256
"""Tokens among which a draw is looked for first: to sort a whole vocabulary of 150,000 takes as long as a layer."""

LIVELY = 0.9
"""Rows that have ended leave the batch when fewer than this share is still written: leaving copies the whole cache."""


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
    grammar: Grammar | None = None
    """What the answer keeps to, if anything."""


@dataclass(frozen=True, slots=True)
class Written:
    ids: tuple[int, ...]
    """The token that ends the turn is the last of them, where it was written."""
    ended: bool


@dataclass(slots=True)
class Row:
    """A task and what is written of it."""

    task: Task
    generator: torch.Generator
    matcher: Matcher | None
    ids: list[int] = field(default_factory=list[int])
    ended: bool = False

    @property
    def done(self) -> bool:
        return self.ended or len(self.ids) == self.task.limit

    def take(self, token: int, ends: Sequence[int]) -> None:
        self.ids.append(token)
        self.ended = token in ends
        if self.matcher:
            self.matcher.take(token)


def generate(model: "PreTrainedModel", tasks: Sequence[Task], ends: Sequence[int]) -> list[Written]:
    """Decoded together; who has ended makes room for the others, so that one long answer costs no more than itself.

    What all prompts begin with (an instruction, an example) is read once; the padding stands between it and the rest.
    What is random comes from a generator of each task's own, so that its answer does not depend on its neighbours,
    but for the rounding of a batched multiplication.
    """
    rows = [
        Row(task, torch.Generator().manual_seed(task.seed), task.grammar and task.grammar.begin()) for task in tasks
    ]
    with torch.inference_mode():
        _decode(model, rows, ends)
    return [Written(tuple(row.ids), row.ended) for row in rows]


def _decode(model: "PreTrainedModel", rows: list[Row], ends: Sequence[int]) -> None:
    logits, mask, cache = _read(model, [row.task.prompt for row in rows])
    while True:
        tokens = draw(logits, rows)
        for row, token in zip(rows, tokens, strict=True):
            if not row.done:
                row.take(token, ends)
        lively = [place for place, row in enumerate(rows) if not row.done]
        if not lively:
            return
        if len(lively) < LIVELY * len(rows):
            rows = [rows[place] for place in lively]
            tokens = [tokens[place] for place in lively]
            mask = mask[lively]
            cache.batch_select_indices(torch.tensor(lively, device=model.device))
        ids = torch.tensor(tokens)[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        logits = _step(model, ids, mask, cache)


def _read(
    model: "PreTrainedModel", prompts: Sequence[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor, DynamicCache]:
    """Logits after each prompt, mask and cache (rows x longest prompt).

    Several samples of one prompt are one row until here, and what all prompts begin with is one for all of them.
    """
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    shared = _shared(list(places))
    ids, mask = _padded(list(places), shared)
    cache = growing(model.config)
    if shared:
        _step(model, ids[:1, :shared], mask[:1, :shared], cache)
        cache.batch_repeat_interleave(len(places))
    logits = _step(model, ids[:, shared:], mask, cache)
    copies = torch.tensor([places[prompt] for prompt in prompts])
    cache.batch_select_indices(copies.to(model.device))
    return logits[copies], mask[copies], cache


def _step(model: "PreTrainedModel", ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """The logits (rows x vocabulary) behind `ids`, the last tokens of those that `mask` stands for."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = model(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=cache,
        logits_to_keep=1,
    )
    return output.logits[:, -1].float().cpu()


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all begin with; each keeps one at least that is its own, from which its answer begins."""
    first, last = min(prompts), max(prompts)  # what these two share, all between them share
    most = min(len(prompt) for prompt in prompts) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)


def _padded(prompts: Sequence[tuple[int, ...]], shared: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask (rows x longest prompt); the padding stands behind the shared tokens."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.ones_like(ids)
    for row, prompt in enumerate(prompts):
        rest = width - len(prompt) + shared
        ids[row, :shared] = torch.tensor(prompt[:shared])
        ids[row, rest:] = torch.tensor(prompt[shared:])
        mask[row, shared:rest] = 0
    return ids, mask


def draw(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """One token for each row of `logits` (rows x vocabulary, overwritten), by the row's own rule.

    A nucleus holds the likeliest tokens whose probabilities sum up to `top_p`, the one that passes it included.
    """
    _penalize(logits, rows)
    _constrain(logits, rows)
    chances = torch.tensor([float(torch.rand(1, generator=row.generator)) for row in rows])[:, None]
    top_p = torch.tensor([row.task.top_p for row in rows])[:, None]
    temperature = torch.tensor([row.task.temperature for row in rows])[:, None]
    # in place: a fresh matrix of this size costs as much as what is computed in it
    probabilities = logits.div_(temperature.where(temperature > 0, torch.ones(1)))
    probabilities.sub_(probabilities.amax(-1, keepdim=True)).exp_()
    probabilities.div_(probabilities.sum(-1, keepdim=True))
    likely, order = probabilities.topk(min(LIKELY, probabilities.shape[1]))
    places, found = _places(likely, top_p, chances)
    for row in (~found).nonzero().flatten().tolist():
        everything, order_of_all = probabilities[row].sort(descending=True)
        place, _ = _places(everything[None], top_p[row : row + 1], chances[row : row + 1])
        order[row, 0], places[row] = order_of_all[place[0]], 0
    places[temperature.flatten() == 0] = 0
    return order.gather(1, places[:, None]).flatten().tolist()


def _places(ranked: torch.Tensor, top_p: torch.Tensor, chances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in each row of falling probabilities the draw falls, and whether it can be told from these alone."""
    sums = ranked.cumsum(-1)
    size = (sums - ranked < top_p).sum(-1, keepdim=True)
    nucleus = sums.gather(1, size - 1).where(top_p < 1, torch.ones(1))
    wanted = chances * nucleus
    covered = sums[:, -1:] >= top_p.where(top_p < 1, wanted)
    return (sums <= wanted).sum(-1).clamp(max=ranked.shape[1] - 1), covered.flatten()


def _penalize(logits: torch.Tensor, rows: Sequence[Row]) -> None:
    """Keskar et al. 2019 (arXiv 1909.05858): what stands in the prompt or the answer already becomes less likely."""
    for scores, row in zip(logits, rows, strict=True):
        if row.task.penalty != 1:
            seen = torch.tensor([*row.task.prompt, *row.ids]).unique()
            found = scores[seen]
            scores[seen] = torch.where(found < 0, found * row.task.penalty, found / row.task.penalty)


def _constrain(logits: torch.Tensor, rows: Sequence[Row]) -> None:
    for scores, row in zip(logits, rows, strict=True):
        if row.matcher and not row.done:
            scores.masked_fill_(~row.matcher.allowed(len(scores)), -torch.inf)
