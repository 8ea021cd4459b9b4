"""Large files under their sha256: written aside, hashed, synced, then renamed into place.

A name therefore never shows anything but the whole, right content, and a crash leaves at most a temporary file,
which the next start removes. Nothing a client sends becomes part of a path but 64 checked hex digits.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from pipelines.localhub.errors import BadRequestError
from pipelines.localhub.store import folders

SHA256 = re.compile(r"[0-9a-f]{64}")


class LargeFiles:
    def __init__(self, data: Path) -> None:
        self._root = data / "lfs"
        self._aside = data / "tmp"
        self._settled: set[str] = set()
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(mode=0o700)
        self._root.mkdir(mode=0o700, exist_ok=True)
        folders.sync(data)

    def path(self, sha256: str) -> Path:
        if not SHA256.fullmatch(sha256):
            raise BadRequestError(f"not a sha256: {sha256[:80]!r}")
        return self._root / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """None when we do not have it; a link in its place is none of ours."""
        try:
            found = self.path(sha256).lstat()
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, sha256: str) -> BinaryIO:
        """For reading. Raises OSError when it is not there, or a link."""
        return os.fdopen(os.open(self.path(sha256), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")

    def settle(self, sha256: str) -> None:
        """Makes the name of a stored file survive a power cut, if that is not certain yet.

        A name shows before it is synced: to others while its upload ends, and for good when the server was killed
        just then. A commit that refers to it must not be safer than what it refers to.
        """
        if sha256 not in self._settled:
            _sync_name(self.path(sha256))
            self._settled.add(sha256)

    def room(self) -> int:
        """Bytes free on its disk."""
        return shutil.disk_usage(self._root).free

    def spool(self) -> BinaryIO:
        """A nameless file on the data folder's own disk, for request bodies too long to hold."""
        return tempfile.TemporaryFile(dir=self._aside)  # type: ignore[return-value]

    def receive(self, sha256: str, size: int) -> "Incoming":
        return Incoming(self._aside, self.path(sha256), sha256, size, self._settled)


class Incoming:
    """A large file on its way in. Usable from one thread at a time."""

    def __init__(self, aside: Path, target: Path, sha256: str, size: int, settled: set[str]) -> None:
        handle, name = tempfile.mkstemp(dir=aside)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._name = Path(name)
        self._target = target
        self._sha256 = sha256
        self._size = size
        self._settled = settled
        self._hash = hashlib.sha256()
        self._received = 0

    def write(self, chunk: bytes | bytearray) -> None:
        self._received += len(chunk)
        if self._received > self._size:
            raise BadRequestError(f"more than the announced {self._size} bytes")
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def keep(self) -> None:
        """Checks what arrived and makes it durable."""
        if self._received != self._size:
            raise BadRequestError(f"{self._received} bytes arrived, {self._size} were announced")
        if self._hash.hexdigest() != self._sha256:
            raise BadRequestError("the content does not have the announced sha256")
        put_in_place(self._file, self._name, self._target)
        self._settled.add(self._sha256)

    def discard(self) -> None:
        """Removes what is left aside; after `keep` there is nothing."""
        self._file.close()
        self._name.unlink(missing_ok=True)


def put_in_place(file: BinaryIO, aside: Path, target: Path) -> None:
    """Makes a file written at `aside` durable under its own name: its content, then its name, then its folders'."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    target.parent.mkdir(parents=True, exist_ok=True)
    aside.replace(target)
    _sync_name(target)


def _sync_name(target: Path) -> None:
    for folder in list(target.parents)[:3]:
        folders.sync(folder)
