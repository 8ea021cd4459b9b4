"""Reading everything again: every object is the content that its name says, and what is referred to is there."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.localhub.errors import BadRequestError
from pipelines.localhub.store.database import snapshot
from pipelines.localhub.store.history import PULLS
from pipelines.localhub.store.largefiles import SHA256
from pipelines.localhub.store.objects import Entry, decode_tree, encode_commit, encode_tree, object_id, pointer
from pipelines.localhub.store.xorbs import name_of

PIECE = 1 << 20


@dataclass(frozen=True)
class Damage:
    where: str
    """`datasets/NAMESPACE/NAME@COMMIT: PATH`, or what else it is."""
    what: str


def verify(data: Path) -> Iterator[Damage]:
    """All that is wrong in a data folder, which may be served meanwhile. Takes as long as reading every file.

    Raises RuntimeError when there is no Hub in it, or one of another version.
    """
    with snapshot(data / "hub.sqlite") as db:
        try:
            yield from _database(db)
            yield from _Reader(db, data / "lfs").damages()
        except sqlite3.DatabaseError as error:
            yield Damage("hub.sqlite", f"cannot be read any further: {error}")
    for path in data.glob("xet/*/??/*"):
        if not _is_whole(path):
            yield Damage(str(path), "not what its name stands for: delete the folder xet while the Hub is stopped")


def _is_whole(xorb: Path) -> bool:
    try:
        with xorb.open("rb") as body:
            return name_of(body) == xorb.name
    except BadRequestError:
        return False


def _database(db: sqlite3.Connection) -> Iterator[Damage]:
    for (line,) in db.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Damage("hub.sqlite", line)
    for table, *_ in db.execute("PRAGMA foreign_key_check"):
        yield Damage("hub.sqlite", f"a row of {table} belongs to no repo")


class _Reader:
    """Reads every object once, then follows every repo to what it refers to."""

    def __init__(self, db: sqlite3.Connection, lfs: Path) -> None:
        self._db = db
        self._bad: dict[str, str] = {}
        """What is wrong with an object, by its id; a large file's by its sha256."""
        self._told: set[str] = set()
        files = (path for path in lfs.glob("??/??/*") if SHA256.fullmatch(path.name) and not path.is_symlink())
        self._large = {path.name: path for path in files}
        self._trees: dict[str, dict[str, Entry]] = {}
        self._blobs: dict[str, tuple[int, str | None]] = {}

    def damages(self) -> Iterator[Damage]:
        self._read_blobs()
        self._read_trees()
        self._read_large()
        for key, kind, namespace, name in self._db.execute("SELECT id, kind, namespace, name FROM repo").fetchall():
            yield from self._repo(key, f"{kind}/{namespace}/{name}")
        for oid in self._bad.keys() - self._told:
            yield Damage(f"object {oid}, which no repo needs", self._bad[oid])

    def _read_blobs(self) -> None:
        for oid, size, sha256, content in self._db.execute("SELECT oid, size, sha256, content FROM blob"):
            self._blobs[oid] = size, sha256
            expected = pointer(sha256, size) if sha256 else content
            if expected is None or object_id("blob", expected) != oid:
                self._bad[oid] = "its content is not the one that was committed"
            elif sha256 is None and len(content) != size:
                self._bad[oid] = f"{size} bytes are announced, {len(content)} are stored"

    def _read_trees(self) -> None:
        for oid, content in self._db.execute("SELECT oid, content FROM tree"):
            if object_id("tree", content) != oid:
                self._bad[oid] = "the folder is not the one that was committed"
                continue
            entries = self._trees[oid] = decode_tree(content)
            if encode_tree(entries) != content:
                self._bad[oid] = "the folder is not in git's form"

    def _read_large(self) -> None:
        for sha256, path in self._large.items():
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while piece := file.read(PIECE):
                    digest.update(piece)
            if path.parts[-3:-1] != (sha256[:2], sha256[2:4]) or digest.hexdigest() != sha256:
                self._bad[sha256] = "the large file's content does not have its sha256"

    def _repo(self, key: int, name: str) -> Iterator[Damage]:
        commits = {row["oid"]: row for row in self._db.execute("SELECT * FROM history WHERE repo = ?", (key,))}
        refs = dict(self._db.execute("SELECT name, head FROM ref WHERE repo = ?", (key,)))
        for ref, head in refs.items():
            if head not in commits:
                yield Damage(f"{name}: {ref}", f"the commit {head} is missing")
        if "refs/heads/main" not in refs:
            yield Damage(name, "the branch main is missing")
        for (number,) in self._db.execute("SELECT num FROM discussion WHERE repo = ? AND base IS NOT NULL", (key,)):
            if f"{PULLS}{number}" not in refs:
                yield Damage(name, f"the ref of pull request {number} is missing")
        seen: set[str] = set()
        for oid, row in sorted(commits.items(), key=lambda item: item[1]["created_at"], reverse=True):
            where = f"{name}@{oid[:12]}"
            text = encode_commit(row["tree"], row["parent"], row["author"], row["created_at"], row["message"])
            if object_id("commit", text) != oid:
                yield Damage(where, "the commit is not the one that was made")
            if row["parent"] and row["parent"] not in commits:
                yield Damage(where, f"its parent {row['parent']} is missing")
            yield from self._tree(row["tree"], where, "", seen)

    def _tree(self, oid: str, where: str, path: str, seen: set[str]) -> Iterator[Damage]:
        if oid in seen:
            return
        seen.add(oid)
        yield from self._tell(oid, where, path or "/", known=oid in self._trees)
        for name, entry in self._trees.get(oid, {}).items():
            below = f"{path}/{name}" if path else name
            if entry.is_folder:
                yield from self._tree(entry.oid, where, below, seen)
            elif entry.oid not in seen:
                seen.add(entry.oid)
                yield from self._blob(entry.oid, where, below)

    def _blob(self, oid: str, where: str, path: str) -> Iterator[Damage]:
        yield from self._tell(oid, where, path, known=oid in self._blobs)
        size, sha256 = self._blobs.get(oid, (0, None))
        if sha256 is None:
            return
        yield from self._tell(sha256, where, path, known=sha256 in self._large)
        if sha256 in self._large and self._large[sha256].stat().st_size != size:
            yield Damage(f"{where}: {path}", f"{size} bytes are announced, the large file has another size")

    def _tell(self, oid: str, where: str, path: str, known: bool) -> Iterator[Damage]:
        if oid in self._bad:
            self._told.add(oid)
            yield Damage(f"{where}: {path}", self._bad[oid])
        elif not known:
            yield Damage(f"{where}: {path}", f"{oid} is missing")
