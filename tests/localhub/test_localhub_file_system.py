"""HfFileSystem: a Hub as a disk, by which pandas, datasets and fsspec read and write."""

from collections.abc import Callable

import pytest
from huggingface_hub import HfFileSystem
from localhub_server import Server

NewRepo = Callable[..., str]
pytestmark = [pytest.mark.any_hub, pytest.mark.each_transfer]


@pytest.fixture
def files(server: Server) -> HfFileSystem:
    return HfFileSystem(endpoint=server.url, token=server.token, skip_instance_cache=True)


@pytest.fixture
def root(files: HfFileSystem, new_repo: NewRepo) -> str:
    """A data set with two text files and a large one."""
    root = f"datasets/{new_repo(repo_type='dataset')}"
    for path, content in (("a/1.txt", b"one"), ("a/b/2.txt", b"two"), ("w.bin", b"0123456789")):
        files.pipe_file(f"{root}/{path}", content)
    return root


def test_folders_are_listed_searched_and_walked(files: HfFileSystem, root: str) -> None:
    assert {entry["name"]: entry["type"] for entry in files.ls(f"{root}/a")} == {
        f"{root}/a/1.txt": "file",
        f"{root}/a/b": "directory",
    }
    assert files.glob(f"{root}/**/*.txt") == [f"{root}/a/1.txt", f"{root}/a/b/2.txt"]
    assert files.glob(f"{root}/a/*.txt") == [f"{root}/a/1.txt"]
    assert files.find(f"{root}/a") == [f"{root}/a/1.txt", f"{root}/a/b/2.txt"]
    assert [(path, folders, names) for path, folders, names in files.walk(f"{root}/a")] == [
        (f"{root}/a", ["b"], ["1.txt"]),
        (f"{root}/a/b", [], ["2.txt"]),
    ]
    assert files.isdir(f"{root}/a")
    assert files.isfile(f"{root}/w.bin")
    assert files.info(f"{root}/w.bin")["size"] == 10
    with pytest.raises(FileNotFoundError):
        files.ls(f"{root}/missing")
    with pytest.raises(FileNotFoundError):
        files.ls(f"{root}-missing")


def test_parts_of_a_file_are_read(files: HfFileSystem, root: str) -> None:
    assert files.cat_file(f"{root}/w.bin", start=2, end=5) == b"234"
    assert files.read_block(f"{root}/a/1.txt", 1, 2) == b"ne"
    with files.open(f"{root}/w.bin", "rb", block_size=4) as file:
        file.seek(7)
        assert file.read(2) == b"78"
        file.seek(0)
        assert file.read() == b"0123456789"
    with files.open(f"{root}/w.bin", "rb", block_size=0) as stream:
        assert stream.read() == b"0123456789"


def test_files_are_written_copied_and_removed(files: HfFileSystem, root: str) -> None:
    with files.open(f"{root}/a/new.txt", "w") as file:
        file.write("written")
    assert files.read_text(f"{root}/a/new.txt") == "written"
    files.cp_file(f"{root}/w.bin", f"{root}/copy/w.bin")
    files.cp_file(f"{root}/a/1.txt", f"{root}/copy/1.txt")
    assert files.cat(files.find(f"{root}/copy")) == {
        f"{root}/copy/1.txt": b"one",
        f"{root}/copy/w.bin": b"0123456789",
    }
    files.rm(f"{root}/copy/1.txt")
    assert not files.exists(f"{root}/copy/1.txt")
    files.rm(f"{root}/a", recursive=True)
    assert not files.exists(f"{root}/a")
    assert files.exists(f"{root}/copy/w.bin")


def test_a_revision_in_the_path_is_another_state_of_the_files(server: Server, files: HfFileSystem, root: str) -> None:
    repo = root.removeprefix("datasets/")
    old = server.api.dataset_info(repo).sha
    server.api.create_branch(repo, branch="feature/x", repo_type="dataset")
    with files.open(f"{root}@feature%2Fx/a/1.txt", "wb") as file:
        file.write(b"on a branch")
    files.rm(f"{root}/a/1.txt")
    assert files.cat_file(f"{root}@{old}/a/1.txt") == b"one"
    assert files.cat_file(f"{root}/a/1.txt", revision=old) == b"one"
    assert files.cat_file(f"{root}@feature%2Fx/a/1.txt") == b"on a branch"
    assert not files.exists(f"{root}/a/1.txt")
    assert files.ls(f"{root}@{old}/a", detail=False) == [f"{root}@{old}/a/1.txt", f"{root}@{old}/a/b"]
