"""Sets of ids in eight bytes each, so that a million rows are known in 8 MB.

An id is 16 hex digits (`records.digest`), which is a number of 64 bits. What is read from a Hub may hold any other
text as an id: that counts by its hash.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
DIGITS = 16
MERGED_AT = 1 << 16


def key(name: str) -> int:
    """The number that an id stands for."""
    if len(name) == DIGITS:
        try:
            raw = bytes.fromhex(name)
        except ValueError:
            raw = b""
        if len(raw) * 2 == DIGITS:  # it skips white space
            return int.from_bytes(raw)
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8])


def keys(names: Sequence[str]) -> Keys:
    """The numbers of many ids, in their order."""
    if all(len(name) == DIGITS for name in names):
        try:
            raw = bytes.fromhex("".join(names))
        except ValueError:
            raw = b""
        if len(raw) * 2 == DIGITS * len(names):
            return np.frombuffer(raw, ">u8").astype(np.uint64)
    return np.array([key(name) for name in names], np.uint64)


class IdSet:
    """A set of keys: a sorted array, and beside it a small set of those added since it was sorted."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._recent = set[int]()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, one: int) -> bool:
        if one in self._recent:
            return True
        place = bisect_left(self._sorted, one)
        return place < len(self._sorted) and self._sorted[place] == one

    def add(self, one: int) -> bool:
        """Whether it was not there before."""
        if one in self:
            return False
        self._recent.add(one)
        if len(self._recent) >= max(MERGED_AT, len(self._sorted) // 8):
            self.update(np.empty(0, np.uint64))
        return True

    def update(self, many: Keys) -> None:
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        merged = np.unique(np.concatenate([self._array(), recent, many]))
        self._sorted, self._recent = array("Q", merged.tobytes()), set()

    def holds(self, many: Keys) -> NDArray[np.bool_]:
        """For each of `many` whether it is in the set."""
        if self._recent:
            self.update(np.empty(0, np.uint64))
        there = self._array()
        if not len(there):
            return np.zeros(len(many), bool)
        places = np.minimum(np.searchsorted(there, many), len(there) - 1)
        return there[places] == many

    def _array(self) -> Keys:
        return np.frombuffer(self._sorted, np.uint64) if self._sorted else np.empty(0, np.uint64)
