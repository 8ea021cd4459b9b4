"""A cache of keys and values that grows in place: torch's grows by a copy of the whole of it in every step."""

from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ROOM = 64
"""Tokens for which room is made at a time."""


class GrowingLayer(DynamicLayer):
    """Keys and values (rows x heads x tokens x size) are the beginnings of larger tensors, filled as tokens come."""

    room: int = 0
    all_keys: torch.Tensor
    all_values: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if new > self.room:
            self.room = new + ROOM
            self.all_keys = _wider(self.keys, key_states, self.room)
            self.all_values = _wider(self.values, value_states, self.room)
        self.all_keys[..., old:new, :] = key_states
        self.all_values[..., old:new, :] = value_states
        self.keys, self.values = self.all_keys[..., :new, :], self.all_values[..., :new, :]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self.room = 0

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = 0


def _wider(old: torch.Tensor | None, new: torch.Tensor, room: int) -> torch.Tensor:
    rows, heads, _, size = new.shape
    wider = new.new_empty((rows, heads, room, size))
    if old is not None and old.numel():
        wider[..., : old.shape[-2], :] = old
    return wider


def growing(config: "PreTrainedConfig") -> DynamicCache:
    """The model's own cache, but for the layers that attend to all tokens: these grow in place."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
