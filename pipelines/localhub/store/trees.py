"""Folders: looking into them, listing them, and editing them."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from pipelines.localhub.errors import BadRequestError, EntryNotFoundError
from pipelines.localhub.store.objects import FOLDER, Entry, decode_tree, encode_tree, object_id


def load(db: sqlite3.Connection, oid: str) -> dict[str, Entry]:
    row = db.execute("SELECT content FROM tree WHERE oid = ?", (oid,)).fetchone()
    if row is None:
        raise RuntimeError(f"the Hub is damaged: the folder {oid} is missing")
    return decode_tree(row["content"])


Reader = Callable[[str], dict[str, Entry]]


def reader(db: sqlite3.Connection) -> Reader:
    """As `load`; what it read lately is not read again, since a folder may hold many thousands of names."""
    return lru_cache(maxsize=32)(partial(load, db))


def save(db: sqlite3.Connection, entries: dict[str, Entry]) -> str:
    content = encode_tree(entries)
    oid = object_id("tree", content)
    db.execute("INSERT OR IGNORE INTO tree VALUES (?, ?)", (oid, content))
    return oid


def find(db: sqlite3.Connection, root: str, path: str) -> Entry | None:
    """The file or folder at `path`; the root for an empty path."""
    return find_each(db, root, [path])[path]


def find_each(db: sqlite3.Connection, root: str, paths: Iterable[str]) -> dict[str, Entry | None]:
    """As `find`, for many."""
    read = reader(db)
    return {path: _descend(read, root, path) for path in paths}


def _descend(read: Reader, root: str, path: str) -> Entry | None:
    found = Entry(FOLDER, root)
    for name in path.split("/") if path else ():
        if not found.is_folder:
            return None
        entry = read(found.oid).get(name)
        if entry is None:
            return None
        found = entry
    return found


def walk(db: sqlite3.Connection, root: str, prefix: str = "", recursive: bool = True) -> Iterator[tuple[str, Entry]]:
    """Every path below a folder, a folder before what it holds."""
    for name, entry in load(db, root).items():
        path = f"{prefix}/{name}" if prefix else name
        yield path, entry
        if recursive and entry.is_folder:
            yield from walk(db, entry.oid, path)


def files(db: sqlite3.Connection, root: str) -> dict[str, str]:
    """Path to blob id, for the whole tree."""
    return {path: entry.oid for path, entry in walk(db, root) if not entry.is_folder}


def changes(read: Reader, before: str | None, after: str | None) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """Every file and folder that differs between two folders; what they share is not even read."""
    if before == after:
        return
    old = read(before) if before else {}
    new = read(after) if after else {}
    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        yield name, was, now
        inside = was.oid if was and was.is_folder else None, now.oid if now and now.is_folder else None
        for path, was, now in changes(read, *inside):
            yield f"{name}/{path}", was, now


class Draft:
    """A folder being edited: reads a child only when a change goes through it, writes only what changed."""

    def __init__(self, db: sqlite3.Connection, oid: str | None) -> None:
        self._db = db
        self._entries: dict[str, Entry | Draft] = dict(load(db, oid)) if oid else {}

    def put(self, path: str, entry: Entry) -> None:
        folder, name = self._open(path, create=True)
        existing = folder._entries.get(name)
        emptied = isinstance(existing, Draft) and not existing._entries
        if existing is not None and _is_folder(existing) and not emptied:
            raise BadRequestError(f"cannot add the file {path!r}: a folder has that name")
        folder._entries[name] = entry

    def remove(self, path: str, a_folder: bool) -> None:
        folder, name = self._open(path, create=False)
        existing = folder._entries.get(name)
        if existing is None or _is_folder(existing) != a_folder:
            what = "folder" if a_folder else "file"
            raise EntryNotFoundError(f"A {what} with this name doesn't exist: {path}")
        del folder._entries[name]

    def save(self) -> str | None:
        """The new id, or None for an empty folder, which git does not keep."""
        entries: dict[str, Entry] = {}
        for name, entry in self._entries.items():
            if isinstance(entry, Draft):
                oid = entry.save()
                if oid is not None:
                    entries[name] = Entry(FOLDER, oid)
            else:
                entries[name] = entry
        return save(self._db, entries) if entries else None

    def _open(self, path: str, create: bool) -> tuple["Draft", str]:
        *above, name = path.split("/")
        folder = self
        for part in above:
            entry = folder._entries.get(part)
            if isinstance(entry, Entry):
                if not entry.is_folder:
                    if create:
                        raise BadRequestError(f"cannot add {path!r}: {part!r} is a file")
                    return Draft(self._db, None), name
                entry = Draft(self._db, entry.oid)
            elif entry is None:
                entry = Draft(self._db, None)
            folder._entries[part] = entry
            folder = entry
        return folder, name


def _is_folder(entry: Entry | Draft) -> bool:
    return isinstance(entry, Draft) or entry.is_folder
