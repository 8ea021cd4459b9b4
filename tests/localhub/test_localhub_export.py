"""Repos as plain folders: all of each or nothing, and nothing outside of the folder that was named."""

import sqlite3
from pathlib import Path

import pytest
from filled import LARGE, change, large_file
from huggingface_hub import HfApi

from pipelines.localhub import export
from pipelines.localhub.store.objects import FILE, FOLDER, Entry, encode_commit, encode_tree, object_id


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_holds_every_file_of_every_repo(served: HfApi, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert sorted(export(data, target, [], "main")) == [target / "datasets/keep/it", target / "models/keep/it"]
    expected = {f"weights/{turn}.{end}": LARGE + bytes([turn]) for turn in range(3) for end in ("txt", "bin")}
    exported = contents(target / "models/keep/it")
    assert exported.pop(".gitattributes")
    assert exported == expected
    assert contents(target / "datasets/keep/it").keys() == {".gitattributes", "data/x.csv"}
    downloaded = Path(served.snapshot_download("keep/it", local_dir=tmp_path / "down"))
    assert {path: content for path, content in contents(downloaded).items() if path in expected} == expected


def test_an_export_may_name_repos_and_a_revision(data: Path, tmp_path: Path) -> None:
    assert list(export(data, tmp_path, ["keep/it"], "refs/pr/1")) == [tmp_path / "models/keep/it"]
    assert (tmp_path / "models/keep/it/new.txt").read_bytes() == b"new"
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize(("name", "revision"), [("keep/other", "main"), ("it", "main"), ("datasets/keep/it", "v1")])
def test_an_export_of_what_is_not_there_is_refused(data: Path, tmp_path: Path, name: str, revision: str) -> None:
    with pytest.raises(RuntimeError, match=name):
        list(export(data, tmp_path / "out", [name], revision))


def test_an_export_overwrites_nothing_and_takes_up_one_that_was_interrupted(data: Path, tmp_path: Path) -> None:
    (tmp_path / "models/keep/.it.partial").mkdir(parents=True)
    (tmp_path / "models/keep/.it.partial/half").touch()
    (folder,) = export(data, tmp_path, ["models/keep/it"], "main")
    assert not (folder / "half").exists()
    with pytest.raises(FileExistsError, match="exists already"):
        list(export(data, tmp_path, ["models/keep/it"], "main"))


def test_a_damaged_file_is_not_exported(data: Path, tmp_path: Path) -> None:
    large_file(data, LARGE + b"\x01").write_bytes(LARGE + b"\x02")
    with pytest.raises(RuntimeError, match=r"1\.bin is damaged"):
        list(export(data, tmp_path / "out", ["keep/it"], "main"))
    assert not (tmp_path / "out/models/keep/it").exists()


def hide(data: Path, *names: str) -> None:
    """Makes main of the data set a tree, whole by its ids, that no client could have committed."""
    db = sqlite3.connect(data / "hub.sqlite")
    blob = object_id("blob", b"evil")
    entry = Entry(FILE, blob)
    with db:
        db.execute("INSERT INTO blob VALUES (?, 4, NULL, ?)", (blob, b"evil"))
        for name in reversed(names):
            tree = encode_tree({name: entry})
            entry = Entry(FOLDER, object_id("tree", tree))
            db.execute("INSERT INTO tree VALUES (?, ?)", (entry.oid, tree))
        oid = object_id("commit", encode_commit(entry.oid, None, "x", 0, "x"))
        (repo,) = db.execute("SELECT id FROM repo WHERE kind = 'datasets'").fetchone()
        db.execute("INSERT INTO history VALUES (?, ?, ?, NULL, 'x', 0, 'x')", (repo, oid, entry.oid))
        db.execute("UPDATE ref SET head = ? WHERE repo = ?", (oid, repo))
    db.close()


@pytest.mark.parametrize("names", [("..", "..", "evil"), ("../../../evil",), ("/evil",), (".git", "hook"), ("a\\b",)])
def test_an_export_writes_nothing_outside_its_target_whatever_the_paths(
    data: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    hide(data, *names)
    target = tmp_path / "room" / "out"
    with pytest.raises(RuntimeError, match="datasets/keep/it"):
        list(export(data, target, ["datasets/keep/it"], "main"))
    assert [path for path in tmp_path.rglob("*") if path.name in ("evil", "hook")] == []
    assert contents(target) == {}


def test_an_export_follows_no_link_and_no_name_out_of_its_target(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out/models").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/models/keep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeError, match="leads out of"):
        list(export(data, tmp_path / "out", ["keep/it"], "main"))
    change(data, "UPDATE repo SET namespace = '..' WHERE kind = 'datasets'")
    with pytest.raises(RuntimeError, match="is no name"):
        list(export(data, tmp_path / "out", ["datasets/../it"], "main"))
    assert not any((tmp_path / "elsewhere").iterdir())
