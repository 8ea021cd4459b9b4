"""Everything the Hub keeps, opened: one folder, one owner."""

import fcntl
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from pipelines.localhub.errors import ForbiddenError, ServedError
from pipelines.localhub.store import folders
from pipelines.localhub.store.database import Database
from pipelines.localhub.store.largefiles import LargeFiles
from pipelines.localhub.store.tokens import Identity
from pipelines.localhub.store.xorbs import Xorbs

UPLOAD_SECONDS = 6 * 3600
XET_SECONDS = 3600


class Hub:
    def __init__(self, data: Path) -> None:
        folders.make(data)
        self._owner = own(data)
        database = data / "hub.sqlite"
        os.close(_open(database))
        database.chmod(0o600)
        self.db = Database(database)
        self.large = LargeFiles(data)
        self.xorbs = Xorbs(data)
        self._secret = self._upload_secret()

    def sign_upload(self, sha256: str, size: int) -> str:
        """The query of an upload link. The clients send no token with the content, so the link itself must be
        the permission: for one content, for a while."""
        expires = int(time.time()) + UPLOAD_SECONDS
        return f"size={size}&expires={expires}&signature={self._signature(f'{sha256} {size} {expires}')}"

    def check_upload(self, sha256: str, size: int, expires: int, signature: str) -> None:
        if not self._is_ours(signature, f"{sha256} {size} {expires}"):
            raise ForbiddenError("the upload link is not one of ours")
        if expires < time.time():
            raise ForbiddenError("the upload link has expired")

    def sign_xet(self, user: str) -> tuple[str, int]:
        """A token for the addresses of Xet, which never see the user's own, and the second it expires at."""
        expires = int(time.time()) + XET_SECONDS
        return f"{user}:{expires}:{self._signature(f'xet {user} {expires}')}", expires

    def identify_xet(self, token: str) -> Identity | None:
        user, _, rest = token.partition(":")
        expires, _, signature = rest.partition(":")
        if not self._is_ours(signature, f"xet {user} {expires}") or int(expires) < time.time():
            return None
        return Identity(user, "write")

    def _is_ours(self, signature: str, text: str) -> bool:
        return hmac.compare_digest(signature.encode(), self._signature(text).encode())

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _upload_secret(self) -> bytes:
        """Kept, so that links given out before a restart still work after it."""
        with self.db.write() as db:
            db.execute("INSERT OR IGNORE INTO secret VALUES ('upload', ?)", (secrets.token_bytes(32),))
            return db.execute("SELECT value FROM secret WHERE name = 'upload'").fetchone()["value"]


def own(data: Path) -> int:
    """A lock on the folder: two servers would remove each other's temporary files. Lost when the returned
    descriptor is closed, or the process ends, however it ends.

    Raises ServedError when another process has it.
    """
    handle = _open(data / "lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise ServedError(f"another process serves {data}") from error
    return handle


def _open(file: Path) -> int:
    """Ours alone to read, and never through a link that leads out of the folder."""
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
