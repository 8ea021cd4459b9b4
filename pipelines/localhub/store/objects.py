"""Git's own objects, so that every id is the hash of what it names.

The clients compare blob ids with hashes they compute themselves; for trees and commits it makes verification a
matter of hashing, and a folder that did not change is shared between commits instead of copied.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

FILE = b"100644"
FOLDER = b"40000"
_ENTRIES = re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL)


class Entry(NamedTuple):
    """One name in a folder."""

    mode: bytes
    oid: str

    @property
    def is_folder(self) -> bool:
        return self.mode == FOLDER


def object_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The text git keeps in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def encode_tree(entries: Mapping[str, Entry]) -> bytes:
    """Git sorts a folder as if its name ended with a slash; any other order gives other ids."""
    rows = sorted((name.encode() + (b"/" if entry.is_folder else b""), entry) for name, entry in entries.items())
    return b"".join(
        entry.mode + b" " + key.removesuffix(b"/") + b"\0" + bytes.fromhex(entry.oid) for key, entry in rows
    )


def decode_tree(content: bytes) -> dict[str, Entry]:
    return {name.decode(): Entry(mode, oid.hex()) for mode, name, oid in _ENTRIES.findall(content)}


def encode_commit(tree: str, parent: str | None, author: str, seconds: int, message: str) -> bytes:
    who = f"{author} <{author}@localhost> {seconds} +0000"
    parents = f"parent {parent}\n" if parent else ""
    return f"tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n".encode()
