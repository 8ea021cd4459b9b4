"""Who is calling. Tokens are kept only as hashes: high entropy makes a plain sha256 enough, and lookups cheap.

The hash is the lookup key, so comparing takes no time that depends on a secret: an attacker who could tell how
far a hash matched would still have to invert sha256.
"""

import hashlib
import hmac
import re
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

Role = Literal["read", "write"]


@dataclass(frozen=True)
class Identity:
    user: str
    role: Role


def name_token(db: sqlite3.Connection, token: str, user: str, role: Role = "write") -> None:
    """`token` becomes the one token of that user and role; the one before stops working.

    Raises ValueError for one that a client could not send, or anyone could guess.
    """
    if not re.fullmatch(r"[!-~]{6,200}", token):
        raise ValueError("a token is 6 to 200 letters, digits and signs, without spaces")
    if identify(db, token) == Identity(user, role):
        return
    db.execute("DELETE FROM token WHERE user = ? AND role = ?", (user, role))
    db.execute("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)", (_hash(token), user, role, int(time.time())))


def identify(db: sqlite3.Connection, token: str) -> Identity | None:
    hashed = _hash(token)
    known = None
    for row in db.execute("SELECT hash, user, role FROM token"):
        if hmac.compare_digest(row["hash"], hashed):
            known = Identity(row["user"], row["role"])
    return known


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
