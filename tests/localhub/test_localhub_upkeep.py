"""What is done to a data folder beside serving it: verified, and freed of garbage."""

import os
import sqlite3
import time
from pathlib import Path

import pytest
from committing import commit, send_by_xet, send_plain, writer
from filled import LARGE, change, large_file
from huggingface_hub import HfApi
from localhub_server import ForkedServer, Server

from pipelines.localhub import collect_garbage, verify
from pipelines.localhub.errors import ServedError
from pipelines.localhub.hub import UPLOAD_SECONDS

OLD = time.time() - UPLOAD_SECONDS - 60


# --- verify


def test_a_sound_folder_verifies_also_while_it_is_served(served: HfApi, data: Path) -> None:
    assert served.repo_exists("keep/it")
    assert list(verify(data)) == []


def test_a_flipped_bit_in_a_large_file_is_found_by_its_path(data: Path) -> None:
    place = large_file(data, LARGE + b"\x01")
    content = bytearray(place.read_bytes())
    content[1000] ^= 1
    place.write_bytes(content)
    (damage,) = verify(data)
    assert damage.where.startswith("models/keep/it@")
    assert damage.where.endswith(": weights/1.bin")
    assert "sha256" in damage.what


def test_a_missing_and_a_shortened_large_file_are_found(data: Path) -> None:
    large_file(data, LARGE + b"\x00").unlink()
    os.truncate(large_file(data, LARGE + b"\x02"), 10)
    found = {(damage.where.rpartition(" ")[2], damage.what.rpartition(" ")[2]) for damage in verify(data)}
    assert found == {("weights/0.bin", "missing"), ("weights/2.bin", "sha256"), ("weights/2.bin", "size")}


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE blob SET content = x'00' WHERE size = 4", "datasets/keep/it@ data/x.csv", "not the one that was com"),
        ("DELETE FROM blob WHERE size = 4", "datasets/keep/it@ data/x.csv", "is missing"),
        ("UPDATE blob SET size = 5 WHERE size = 4", "datasets/keep/it@ data/x.csv", "4 are stored"),
        ("UPDATE tree SET content = x'00'", "models/keep/it@ /", "not the one that was committed"),
        ("DELETE FROM tree", "models/keep/it@ /", "is missing"),
        ("UPDATE history SET message = 'forged' WHERE parent IS NULL", "models/keep/it@", "not the one that was made"),
        ("DELETE FROM history WHERE parent IS NULL", "models/keep/it@", "its parent"),
        ("UPDATE ref SET head = 'gone'", "models/keep/it: refs/heads/main", "the commit gone is missing"),
        ("DELETE FROM ref WHERE name LIKE 'refs/pr/%'", "models/keep/it", "pull request 1 is missing"),
        ("DELETE FROM ref WHERE name = 'refs/heads/main'", "models/keep/it", "the branch main is missing"),
        ("UPDATE discussion SET repo = 99", "hub.sqlite", "belongs to no repo"),
    ],
)
def test_what_is_wrong_in_the_database_is_found(data: Path, statement: str, where: str, what: str) -> None:
    change(data, statement)
    found = [(damage.where, damage.what) for damage in verify(data)]
    start, _, end = where.partition(" ")
    assert any(at.startswith(start) and at.endswith(end) and what in text for at, text in found), found


def test_a_xorb_that_is_not_what_its_name_says_is_found_and_dropped_with_the_garbage(data: Path) -> None:
    server = ForkedServer(data)
    with writer(server.url) as http:
        commit(http, "keep/it", "by-xet", b"sent in chunks" * 1000, send_by_xet)
    server.kill()
    assert list(verify(data)) == []
    (xorb,) = data.glob("xet/*/*/*")
    whole = xorb.read_bytes()
    for damaged in (whole[:-1] + b"!", whole[:-1]):
        xorb.write_bytes(damaged)
        (damage,) = verify(data)
        assert damage.where == str(xorb)
    assert collect_garbage(data).large_files == 0
    assert list(verify(data)) == []
    assert not xorb.exists()
    again = ForkedServer(data)
    with writer(again.url) as http:
        commit(http, "keep/it", "once-more", b"sent in chunks" * 1000, send_by_xet)
        assert http.get("/keep/it/resolve/main/by-xet.bin").content == b"sent in chunks" * 1000
    again.kill()


def test_a_database_file_with_overwritten_pages_is_damage_and_no_traceback(data: Path) -> None:
    sqlite3.connect(data / "hub.sqlite").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (data / "hub.sqlite").open("r+b") as file:
        file.seek(8192 * 2)
        file.write(os.urandom(8192 * 6))
    assert any(damage.where == "hub.sqlite" for damage in verify(data))


def test_a_folder_without_a_hub_is_said_and_left_alone(tmp_path: Path) -> None:
    for ask in (lambda: list(verify(tmp_path)), lambda: collect_garbage(tmp_path)):
        with pytest.raises(RuntimeError, match="holds no Hub"):
            ask()
    assert not any(tmp_path.iterdir())


# --- garbage


def test_nothing_that_a_commit_a_tag_or_a_pull_request_needs_is_dropped(data: Path) -> None:
    dropped = collect_garbage(data)
    assert (dropped.commits, dropped.objects, dropped.large_files) == (0, 0, 0)
    assert list(verify(data)) == []
    server = Server(data)
    try:
        assert server.api.list_repo_commits("keep/it")[0].title == "weights/2"
        assert server.api.file_exists("keep/it", "new.txt", revision="refs/pr/1")
        assert server.api.file_exists("keep/it", "weights/0.bin", revision="v1")
    finally:
        server.stop()


def test_a_deleted_repo_and_a_squashed_history_give_their_room_back(data: Path) -> None:
    server = Server(data)
    try:
        with writer(server.url) as http:
            server.api.create_repo("drop/squashed")
            server.api.create_repo("drop/deleted")
            gone, stays = b"gone" * 100_000, b"stays" * 100_000
            for content in (gone, stays):
                commit(http, "drop/squashed", "same-path", content)
            commit(http, "drop/deleted", "other", b"other" * 100_000)
            commit(http, "drop/deleted", "shared", LARGE + b"\x00")
        server.api.super_squash_history("drop/squashed")
        server.api.delete_repo("drop/deleted")
    finally:
        server.stop()
    before = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    dropped = collect_garbage(data)
    after = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    assert dropped.bytes == before - after > 2 * len(gone) + 2 * len(b"other" * 100_000)  # each small and large
    assert dropped.commits == 3
    assert dropped.large_files == 2
    assert list(verify(data)) == []
    assert large_file(data, LARGE + b"\x00").exists()
    with pytest.raises(ValueError, match="not enough values"):
        large_file(data, gone)
    rebuilt = Server(data)
    try:
        path = rebuilt.api.hf_hub_download("drop/squashed", "same-path.bin", local_dir=data.parent / "down")
        assert Path(path).read_bytes() == stays
    finally:
        rebuilt.stop()


def test_an_abandoned_upload_is_dropped_once_its_link_has_expired(data: Path) -> None:
    server = ForkedServer(data)
    with writer(server.url) as http:
        for content in (b"abandoned", b"on its way"):
            send_plain(http, "keep/it", content)
    server.kill()
    os.utime(large_file(data, b"abandoned"), (OLD, OLD))
    os.utime(large_file(data, LARGE + b"\x00"), (OLD, OLD))  # age alone is no reason
    assert collect_garbage(data).large_files == 1
    assert large_file(data, b"on its way").read_bytes() == b"on its way"
    assert list(verify(data)) == []


def test_an_interrupted_collection_leaves_all_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(data)
    server.api.delete_repo("keep/it")
    server.stop()

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect_garbage(data)
    assert list(verify(data)) == []
    assert collect_garbage(data).large_files == 0
    for path in data.glob("lfs/*/*/*"):
        os.utime(path, (OLD, OLD))
    assert collect_garbage(data).large_files == 3


def test_garbage_is_not_collected_under_a_running_server(served: HfApi, data: Path) -> None:
    with pytest.raises(ServedError, match="another process serves"):
        collect_garbage(data)
    assert served.repo_exists("keep/it")


def test_garbage_is_not_collected_from_a_damaged_folder(data: Path) -> None:
    change(data, "DELETE FROM tree WHERE oid = (SELECT tree FROM history LIMIT 1)")
    before = sorted(data.glob("lfs/*/*/*"))
    with pytest.raises(RuntimeError, match="damaged"):
        collect_garbage(data)
    assert sorted(data.glob("lfs/*/*/*")) == before
