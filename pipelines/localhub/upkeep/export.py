"""Repos as plain folders, for where there is no Hub: `datasets/NAMESPACE/NAME/...`, `models/NAMESPACE/NAME/...`.

A repo appears there when all of it was written and had the right hashes, or not at all. What a repo calls its files
is text by a stranger: it is checked again here, whatever was checked when it was committed.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter, ValidationError

from pipelines.localhub.api.wire import RepoPath
from pipelines.localhub.errors import HubError
from pipelines.localhub.store import blobs, history, repos, trees
from pipelines.localhub.store.blobs import Blob
from pipelines.localhub.store.database import snapshot
from pipelines.localhub.store.objects import object_id
from pipelines.localhub.store.repos import Kind, Repo

PIECE = 1 << 20
_PATH = TypeAdapter[str](RepoPath)


def export(data: Path, target: Path, names: Sequence[str], revision: str) -> Iterator[Path]:
    """Writes the repos `names` (all without any) at `revision`; yields the folder of each.

    A name is `datasets/NAMESPACE/NAME`, `models/NAMESPACE/NAME` or, for a model, `NAMESPACE/NAME`. The Hub may be
    served meanwhile: what is exported is one moment's state.

    Raises RuntimeError when a repo, the revision or the Hub is not there, or something in it is damaged or unsafe;
    OSError when a folder exists already or cannot be written.
    """
    with snapshot(data / "hub.sqlite") as db:
        for repo in [_named(db, name) for name in names] or _all(db):
            try:
                yield _export(db, data / "lfs", repo, target, revision)
            except (HubError, ValidationError) as error:
                raise RuntimeError(f"{repo.kind}/{repo.id}: {error}") from error


def _named(db: sqlite3.Connection, name: str) -> Repo:
    first, _, rest = name.partition("/")
    kind, repo_id = (cast(Kind, first), rest) if first in ("models", "datasets") else ("models", name)
    repo = repos.find(db, kind, repo_id)
    if repo is None:
        raise RuntimeError(f"there is no repo {kind}/{repo_id}")
    return repo


def _all(db: sqlite3.Connection) -> list[Repo]:
    kinds: tuple[Kind, ...] = ("models", "datasets")
    return [repo for kind in kinds for repo in repos.listing(db, kind, None, (), True, "created_at")]


def _export(db: sqlite3.Connection, lfs: Path, repo: Repo, target: Path, revision: str) -> Path:
    namespace, _, name = repo.id.partition("/")
    repos.check_name(namespace, name)
    folder = target / repo.kind / namespace / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.parent.resolve().is_relative_to(target.resolve()):
        raise RuntimeError(f"{folder.parent} leads out of {target}")
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: remove it, or export to another folder")
    partial = folder.with_name(f".{name}.partial")
    if partial.exists():  # of an export that was interrupted
        shutil.rmtree(partial)
    partial.mkdir()
    commit = history.resolve(db, repo, revision)
    paths = trees.files(db, commit.tree)
    known = blobs.describe(db, paths.values())
    if missing := set(paths.values()) - known.keys():
        raise RuntimeError(f"{repo.kind}/{repo.id} is damaged: {missing.pop()} is missing")
    for path, oid in paths.items():
        place = partial / _PATH.validate_python(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(db, lfs, known[oid], place)
    return partial.replace(folder)


def _write(db: sqlite3.Connection, lfs: Path, blob: Blob, place: Path) -> None:
    right = True
    with place.open("xb") as file:
        if blob.sha256 is None:
            content = blobs.small_content(db, blob.oid) or b""
            right = object_id("blob", content) == blob.oid
            file.write(content)
        else:
            digest = hashlib.sha256()
            with (lfs / blob.sha256[:2] / blob.sha256[2:4] / blob.sha256).open("rb") as source:
                while piece := source.read(PIECE):
                    digest.update(piece)
                    file.write(piece)
            right = digest.hexdigest() == blob.sha256
    if not right:
        raise RuntimeError(f"{place.name} is damaged; `hub verify` says what else is")
