"""The names that Xet gives: to a chunk its keyed BLAKE3, to a xorb the root of a tree over its chunks' names."""

import struct
from collections.abc import Iterator

from blake3 import blake3

# Fixed by the protocol: one key for the leaves of the tree, one for the nodes above them.
_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_MOST_CHILDREN = 9

Node = tuple[bytes, int]
"""A name and how many bytes lie below it."""


def spell(name: bytes) -> str:
    """As addresses and parents spell a name of 32 bytes: four little-endian numbers, in hexadecimal."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", name))


def chunk_name(content: bytes) -> bytes:
    return blake3(content, key=_CHUNK_KEY).digest()


def xorb_name(chunks: list[Node]) -> bytes:
    """The root over one chunk or more; a single chunk is its own root."""
    level = chunks
    while len(level) > 1:
        level = [_parent(children) for children in _siblings(level)]
    return level[0][0]


def _siblings(level: list[Node]) -> Iterator[list[Node]]:
    """The names themselves say where a family ends: with a multiple of four, from the third child on."""
    start = 0
    while start < len(level):
        family = level[start : start + _MOST_CHILDREN]
        size = next((age for age in range(3, len(family)) if family[age - 1][0][24] % 4 == 0), len(family))
        yield family[:size]
        start += size


def _parent(children: list[Node]) -> Node:
    text = "".join(f"{spell(name)} : {size}\n" for name, size in children)
    return blake3(text.encode(), key=_NODE_KEY).digest(), sum(size for _, size in children)
