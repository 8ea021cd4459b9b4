"""Answers that keep to a JSON schema: which tokens may stand next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Matcher:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allowed(self, vocabulary: int) -> torch.Tensor:
        """Of each token whether it may stand next; the tokens that end a text only where the value is whole."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        found = np.zeros(vocabulary, bool)
        found[: len(bits)] = bits[:vocabulary]
        return torch.from_numpy(found)

    def take(self, token: int) -> None:
        """RuntimeError for one that may not stand here."""
        if not self._matcher.consume_token(token):
            raise RuntimeError(f"the grammar of the schema is at its end: {self._matcher.get_error()}")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The answers that a JSON schema allows, as tokens of one model."""

    compiled: LLMatcher

    def begin(self) -> Matcher:
        return Matcher(self.compiled.deep_copy())


class Grammars:
    def __init__(self, tokenizer: "PreTrainedTokenizerFast", vocabulary: int, ends: Sequence[int]) -> None:
        self._tokenizer, self._vocabulary, self._ends = tokenizer, vocabulary, list(ends)

    @cached_property
    def _tokens(self) -> LLTokenizer:
        return from_tokenizer(self._tokenizer, self._vocabulary, self._ends)

    def of(self, schema: dict[str, Any]) -> Grammar:
        """ValueError for what is no JSON schema, or one that no grammar can be made of, and where the tokenizer is not
        one of the Rust library's."""
        # one way to write a value: where blanks are free, a small model may write nothing else
        grammar = LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        )
        compiled = LLMatcher(self._tokens, grammar)
        if compiled.is_error():
            raise ValueError(compiled.get_error())
        return Grammar(compiled)
