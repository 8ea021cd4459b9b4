"""A data folder with something in it: to check, to damage, to collect from, to take out."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

from committing import commit, writer
from localhub_server import Server

LARGE = b"large " * 50_000


def fill(data: Path) -> None:
    """A model with a tag and a pull request, and a data set of the same name; nothing runs afterwards."""
    server = Server(data)
    try:
        with writer(server.url) as http:
            for kind in ("model", "dataset"):
                server.api.create_repo("keep/it", repo_type=kind)
            for turn in range(3):
                commit(http, "keep/it", f"weights/{turn}", LARGE + bytes([turn]))
            server.api.upload_file(
                path_or_fileobj=b"a,b\n", path_in_repo="data/x.csv", repo_id="keep/it", repo_type="dataset"
            )
            server.api.create_tag("keep/it", tag="v1")
            server.api.upload_file(path_or_fileobj=b"new", path_in_repo="new.txt", repo_id="keep/it", create_pr=True)
    finally:
        server.stop()


def large_file(data: Path, content: bytes) -> Path:
    (found,) = data.glob(f"lfs/*/*/{hashlib.sha256(content).hexdigest()}")
    return found


def change(data: Path, statement: str, *values: Any) -> None:
    """Of the database, behind the Hub's back."""
    db = sqlite3.connect(data / "hub.sqlite")
    with db:
        assert db.execute(statement, values).rowcount
    db.close()
