"""Shards: what Xet's clients send last, saying which chunks make which file.

Only the part about files is read. What follows it lists the chunks of xorbs, for servers that tell clients what
they need not send.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from pipelines.localhub.errors import BadRequestError, TooLargeError
from pipelines.localhub.store.largefiles import LargeFiles
from pipelines.localhub.store.merkle import spell
from pipelines.localhub.store.xorbs import Xorbs

# The clients split what is longer than 64 MiB.
MAX_SIZE = 80 << 20
_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_HEADER = struct.Struct("<32sQQ")
_ENTRY = struct.Struct("<32s4I")
_LAST = b"\xff" * 32
_WITH_VERIFICATION, _WITH_SHA256 = 1 << 31, 1 << 30


class Term(NamedTuple):
    """A run of chunks of one xorb; `end` is not among them, `size` is their bytes."""

    xorb: str
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class Recipe:
    """How one file is made."""

    sha256: str
    entries: bytes
    """Packed as they came: a large file has hundreds of thousands."""

    def terms(self) -> Iterator[Term]:
        for xorb, _, size, start, end in _ENTRY.iter_unpack(self.entries):
            yield Term(spell(xorb), size, start, end)


def recipes(body: BinaryIO) -> Iterator[Recipe]:
    header = body.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_TAG):
        raise BadRequestError("not a shard")
    if (version := _HEADER.unpack(header)[1]) != 2:
        raise BadRequestError(f"a shard of version {version}, of which we know nothing")
    while True:
        (name, flags, count, _, _), *_ = _ENTRY.iter_unpack(_entries(body, 1))
        if name == _LAST:
            return
        entries = _entries(body, count)
        if flags & _WITH_VERIFICATION:
            _entries(body, count)
        if not flags & _WITH_SHA256:
            raise BadRequestError("a file of the shard has no sha256")
        sha256 = spell(_entries(body, 1)[:32])
        yield Recipe(sha256, entries)


def make(recipe: Recipe, xorbs: Xorbs, large: LargeFiles) -> None:
    """Makes the file and keeps it, unless we have it. The sha256 that results is the proof that all was right."""
    size = sum(term.size for term in recipe.terms())
    if large.size(recipe.sha256) == size:
        return
    if size > (room := large.room()):
        raise TooLargeError(f"a file of {size} bytes does not fit on the Hub's disk, where {room} are free")
    incoming = large.receive(recipe.sha256, size)
    try:
        for term in recipe.terms():
            if term.size < term.end - term.start:  # else a small file could cost any number of chunks
                raise BadRequestError(f"{term.size} bytes in a part of the file that has more chunks than that")
            got = 0
            for content in xorbs.read(term.xorb, term.start, term.end):
                incoming.write(content)
                got += len(content)
            if got != term.size:
                raise BadRequestError(f"{got} bytes in a part of the file that has {term.size} in the shard")
        incoming.keep()
    finally:
        incoming.discard()


def _entries(body: BinaryIO, count: int) -> bytes:
    size = count * _ENTRY.size
    entries = body.read(min(size, MAX_SIZE))
    if len(entries) < size:
        raise BadRequestError("the shard ends in the middle of a file")
    return entries
