"""Xorbs: runs of chunks that Xet's clients upload first and then say how to make files of.

A file is made as soon as it is described, and is from then on a large file like any other. The xorbs are kept
beside it, because a client remembers what it uploaded: of a file that changed a little it sends the new chunks
only, and refers to the old ones. Each ends with a table of where its chunks begin, since a shard may refer to the
last one a million times.

A client remembers per address, and the address ends with the name of the folder that holds the xorbs. So that
folder, `xet`, can be deleted while the Hub is stopped: the next start makes one of another name, and the clients send
everything once more.
"""

import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lz4.frame import LZ4FrameDecompressor

from pipelines.localhub.errors import BadRequestError
from pipelines.localhub.store.largefiles import put_in_place
from pipelines.localhub.store.merkle import Node, chunk_name, spell, xorb_name

# What the clients hold to as well; together they bound what unpacking one xorb can cost.
MAX_CHUNK = 128 << 10
MAX_CHUNKS = 8 << 10
_HEADER = struct.Struct("<B3sB3s")
_FOOTER = b"XETBLOB"
_OFFSET = struct.Struct("<I")
_PLAIN, _LZ4, _GROUPED_LZ4 = range(3)


class Xorbs:
    def __init__(self, data: Path) -> None:
        root = data / "xet"
        root.mkdir(mode=0o700, exist_ok=True)
        self._folder = next(root.iterdir(), root / secrets.token_hex(8))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._aside = data / "tmp"

    @property
    def id(self) -> str:
        """Another one when the xorbs of before are gone."""
        return self._folder.name

    def add(self, name: str, body: BinaryIO) -> bool:
        """Keeps the chunks that `body` holds, if they are those that `name` stands for; False if we had them."""
        target = self._path(name)
        if target.exists():
            return False
        handle, aside = tempfile.mkstemp(dir=self._aside)
        try:
            with os.fdopen(handle, "wb") as file:
                chunks: list[Node] = []
                offsets = bytearray()
                for chunk in _chunks(body):
                    content = chunk.unpack()
                    chunks.append((chunk_name(content), len(content)))
                    offsets += _OFFSET.pack(file.tell())
                    file.write(chunk.header + chunk.packed)
                    if len(chunks) > MAX_CHUNKS:
                        raise BadRequestError(f"a xorb has at most {MAX_CHUNKS} chunks")
                if not chunks or spell(xorb_name(chunks)) != name:
                    raise BadRequestError("the xorb does not hold what its name stands for")
                file.write(_table(offsets))
                put_in_place(file, Path(aside), target)
        finally:
            Path(aside).unlink(missing_ok=True)
        return True

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """The contents of the chunks `start` to `end`, which is not among them."""
        try:
            file = self._path(name).open("rb")
        except FileNotFoundError as error:
            raise BadRequestError(
                f"the xorb {name} is not here any more, but your client remembers having sent it: delete the folder"
                " xet in its cache (HF_XET_CACHE, else ~/.cache/huggingface/xet) and upload again"
            ) from error
        with file:
            count = _at(file, -_OFFSET.size)
            if not 0 <= start < end <= count:
                raise BadRequestError(f"the xorb {name} has {count} chunks, none at {start} to {end}")
            file.seek(_at(file, -_OFFSET.size * (1 + count - start)))
            for chunk in islice(_chunks(file), end - start):
                yield chunk.unpack()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _at(file: BinaryIO, place: int) -> int:
    """The number that stands so many bytes before the end."""
    file.seek(place, os.SEEK_END)
    return _OFFSET.unpack(file.read(_OFFSET.size))[0]


def name_of(body: BinaryIO) -> str:
    """What the name of a kept xorb has to be. Raises BadRequestError when it is none."""
    nodes: list[Node] = []
    offsets = bytearray()
    for chunk in _chunks(body):
        content = chunk.unpack()
        nodes.append((chunk_name(content), len(content)))
        offsets += _OFFSET.pack(body.tell() - len(chunk.header) - len(chunk.packed))
    table = _table(offsets)
    body.seek(max(0, body.seek(0, os.SEEK_END) - len(table)))
    if not nodes or body.read() != table:
        raise BadRequestError("the xorb does not end with the table of its chunks")
    return spell(xorb_name(nodes))


def _table(offsets: bytearray) -> bytes:
    return _FOOTER + offsets + _OFFSET.pack(len(offsets) // _OFFSET.size)


class Chunk(NamedTuple):
    header: bytes
    packed: bytes
    scheme: int
    size: int

    def unpack(self) -> bytes:
        if self.scheme == _PLAIN:
            content = self.packed
        elif self.scheme == _LZ4:
            content = _unpack_lz4(self.packed, self.size)
        elif self.scheme == _GROUPED_LZ4:
            content = _ungroup(_unpack_lz4(self.packed, self.size))
        else:
            raise BadRequestError(f"a chunk is compressed in a way we do not know: {self.scheme}")
        if len(content) != self.size:
            raise BadRequestError(f"a chunk does not hold the {self.size} bytes that it announces")
        return content


def _chunks(source: BinaryIO) -> Iterator[Chunk]:
    """The chunks from here on, up to the end or to the footer, which repeats what they say."""
    while (header := source.read(_HEADER.size)) and not header.startswith(_FOOTER):
        if len(header) < _HEADER.size:
            raise BadRequestError("the xorb ends in the middle of a chunk")
        version, packed_size, scheme, size = _HEADER.unpack(header)
        packed_size, size = int.from_bytes(packed_size, "little"), int.from_bytes(size, "little")
        if version != 0 or packed_size > 2 * MAX_CHUNK or size > MAX_CHUNK:
            raise BadRequestError(f"not a chunk: version {version}, {packed_size} bytes for {size}")
        packed = source.read(packed_size)
        if len(packed) < packed_size:
            raise BadRequestError("the xorb ends in the middle of a chunk")
        yield Chunk(header, packed, scheme, size)


def _unpack_lz4(packed: bytes, size: int) -> bytes:
    """Reads at most one byte more than `size`, however much the frame would unpack to."""
    try:
        return LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except RuntimeError as error:
        raise BadRequestError(f"a chunk is not LZ4: {error}") from error


def _ungroup(grouped: bytes) -> bytes:
    """Undoes what makes numbers compress better: first every first byte of four, then every second, and so on."""
    content = bytearray(len(grouped))
    start = 0
    for place in range(4):
        length = len(range(place, len(grouped), 4))
        content[place::4] = grouped[start : start + length]
        start += length
    return bytes(content)
