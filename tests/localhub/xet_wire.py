"""Xorbs and shards, put together by hand: for what the clients would never send, and for servers that die."""

import struct

import pyarrow

from pipelines.localhub.store.merkle import chunk_name, spell, xorb_name

PLAIN, LZ4, GROUPED = range(3)
TAG = b"HFRepoMetaData\0UigEj{\x81W\x83\xa5\xbd\xd9\\\xcd\xd1J\xa9"
END = b"\xff" * 32 + bytes(16)


def chunk(packed: bytes, size: int, scheme: int = PLAIN, version: int = 0) -> bytes:
    sizes = (length.to_bytes(3, "little") for length in (len(packed), size))
    return bytes([version]) + next(sizes) + bytes([scheme]) + next(sizes) + packed


def lz4(content: bytes) -> bytes:
    return pyarrow.compress(content, codec="lz4", asbytes=True)


def name(*contents: bytes) -> str:
    return spell(xorb_name([(chunk_name(content), len(content)) for content in contents]))


def raw(spelled: str) -> bytes:
    return struct.pack("<4Q", *(int(spelled[at : at + 16], 16) for at in range(0, 64, 16)))


def file(sha256: str, *terms: tuple[str, int, int, int], flags: int = 1 << 30) -> bytes:
    entries = b"".join(struct.pack("<32s4I", raw(xorb), 0, *numbers) for xorb, *numbers in terms)
    return struct.pack("<32s4I", bytes(32), flags, len(terms), 0, 0) + entries + raw(sha256) + bytes(16)


def shard(*files: bytes, version: int = 2) -> bytes:
    return TAG + struct.pack("<QQ", version, 0) + b"".join(files) + END
