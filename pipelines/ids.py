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
Mask = NDArray[np.bool_]
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
        self._merge_if_due()
        return True

    def add_all(self, many: Keys) -> Mask:
        """For each of `many` whether it was not there before; of several that are equal, that holds for the first."""
        new = ~self.holds(many)
        for place in np.flatnonzero(new).tolist():
            one = int(many[place])
            new[place] = one not in self._recent
            self._recent.add(one)
        self._merge_if_due()
        return new

    def update(self, many: Keys) -> None:
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        merged = np.concatenate([self._array(), np.sort(np.concatenate([recent, many]))])
        merged.sort(kind="stable")  # of two sorted runs it makes one in a single pass
        first = np.ones(len(merged), bool)
        np.not_equal(merged[1:], merged[:-1], out=first[1:])
        self._sorted, self._recent = array("Q", merged[first].tobytes()), set()

    def holds(self, many: Keys) -> Mask:
        """For each of `many` whether it is in the set."""
        there = self._array()
        found = np.zeros(len(many), bool)
        if len(there):
            found = there[np.minimum(np.searchsorted(there, many), len(there) - 1)] == many
        if self._recent:
            found |= np.fromiter((one in self._recent for one in many.tolist()), bool, len(many))
        return found

    def _merge_if_due(self) -> None:
        if len(self._recent) >= max(MERGED_AT, len(self._sorted) // 8):
            self.update(np.empty(0, np.uint64))

    def _array(self) -> Keys:
        return np.frombuffer(self._sorted, np.uint64) if self._sorted else np.empty(0, np.uint64)
