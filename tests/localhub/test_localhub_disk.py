"""What the disk does to us: its power is cut, it is full, it takes no file of that size."""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2
import power_cut
import pytest
from committing import commit, send_by_xet, send_plain, writer
from huggingface_hub import HfApi
from localhub_server import ROOT, ForkedServer, Server

from pipelines.localhub import verify
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import commits, history, repos, trees

REPO = "disk/repo"
CUTS = 4
RECORDED = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/localhub")
from power_cut import serve_recorded
serve_recorded(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Of each file, folder and transaction only what was synced is left; writers share contents and race."""
    chance = random.Random(1)  # noqa: S311
    data, told = tmp_path / "hub-0", dict[str, tuple[str, bytes]]()
    for number in range(CUTS):
        server = Server(data, start=RECORDED)
        with ThreadPoolExecutor(4) as pool:
            server.api.create_repo(REPO, exist_ok=True)
            writers = [pool.submit(write_shared, server.url, f"{number}/{name}", told) for name in range(4)]
            wait(writers, chance.uniform(0.3, 0.6))
            with power_cut.at_rest(power_cut.records_of(data)):
                server.kill()
            for one in writers:
                one.result()
        after = tmp_path / f"hub-{number + 1}"
        power_cut.rebuild(data, after)
        shutil.rmtree(data)
        data = after
        assert list(verify(data)) == []
        rebuilt = ForkedServer(data)
        try:
            with writer(rebuilt.url) as http:
                for path, (oid, content) in told.items():
                    for end in (".txt", ".bin"):
                        assert http.get(f"/{REPO}/resolve/{oid}/{path}{end}").content == content
        finally:
            rebuilt.kill()
    assert len(told) > 4 * CUTS


def write_shared(url: str, name: str, told: dict[str, tuple[str, bytes]]) -> None:
    """The same contents in the same order by all writers, so that some refer to what another has just brought."""
    with writer(url) as http, suppress(httpx2.TransportError):
        for turn in count():
            content = f"{name.split('/')[0]} {turn}".encode() * 50
            send = send_by_xet if turn % 3 == 0 else send_plain
            told[f"{name}/{turn}"] = commit(http, REPO, f"{name}/{turn}", content, send), content


def test_every_connection_of_the_database_syncs_each_commit(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")

    def settings() -> tuple[int, str]:
        with hub.db.read() as db:
            return db.execute("PRAGMA synchronous").fetchone()[0], db.execute("PRAGMA journal_mode").fetchone()[0]

    with ThreadPoolExecutor(1) as pool:
        assert settings() == pool.submit(settings).result() == (2, "wal")  # 2 is FULL


def test_a_commit_syncs_the_name_of_a_large_file_that_was_there_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may have been killed between the file's renaming and the syncing of its new name."""
    hub, content = Hub(tmp_path), b"renamed in time"
    sha256 = hashlib.sha256(content).hexdigest()
    path = hub.large.path(sha256)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    with hub.db.write() as db:
        repo = repos.create(db, "models", "disk", "repo", private=False)
        history.add(db, repo, "refs/heads/main", trees.save(db, {}), None, "disk", "initial commit")
        commits.commit(db, hub.large, repo, "main", [commits.PutLarge("it.bin", sha256, len(content))], "disk", "it")
        assert {path.parent, path.parent.parent, path.parent.parent.parent} <= set(synced)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[list[str], Path, Path]]:
    """A real disk of 8 MB in a mount namespace of its own: the command that runs others there, the disk's folder as
    they see it, and as it is seen from here."""
    place = tmp_path / "disk"
    place.mkdir()
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
        pytest.skip("this system lets us mount no disk of our own (unshare --map-root-user --mount)")
    mount = 'mount -t tmpfs -o size=8m,mode=700 tmpfs "$0" && echo mounted && exec cat'
    line = [*own_mounts, "sh", "-c", mount, str(place)]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        inside = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", "--wd"]
        yield [*inside, "--"], place, Path(f"/proc/{holder.pid}/root{place}")


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass


def test_a_full_disk_is_said_changes_nothing_and_is_forgotten_with_room(
    small_disk: tuple[list[str], Path, Path], tmp_path: Path
) -> None:
    inside, place, disk = small_disk
    server = Server(place / "hub", within=inside)
    try:
        with writer(server.url) as http:
            before = state_with_one_commit(server, http)
            fill(disk)
            assert_refused(http, before, server.api)
            assert not any((disk / "hub" / "tmp").iterdir())
            (disk / "ballast").unlink()
            assert_goes_on(http, before)
            shutil.copytree(disk / "hub", tmp_path / "copy")
    finally:
        server.stop()
    assert list(verify(tmp_path / "copy")) == []


def test_a_hub_on_a_full_disk_starts_to_be_read_and_its_garbage_makes_room(
    small_disk: tuple[list[str], Path, Path], tmp_path: Path
) -> None:
    inside, place, disk = small_disk
    server = Server(place / "hub", within=inside)
    with writer(server.url) as http:
        before = state_with_one_commit(server, http)
        server.api.create_repo("disk/gone")
        sha256 = send_plain(http, "disk/gone", b"much" * 500_000)
        lines = (
            {"key": "header", "value": {"summary": "large alone"}},
            {"key": "lfsFile", "value": {"path": "large.bin", "algo": "sha256", "oid": sha256}},
        )
        added = http.post("/api/models/disk/gone/commit/main", content="\n".join(map(json.dumps, lines)))
        added.raise_for_status()
        server.api.delete_repo("disk/gone")
    server.kill()
    fill(disk)
    again = Server(place / "hub", within=inside)
    try:
        assert again.api.repo_info(REPO).sha == before
    finally:
        again.stop()
    fill(disk)
    collect = [sys.executable, "-m", "pipelines", "hub", "gc", "--data", str(place / "hub")]
    done = subprocess.run([*inside, *collect], cwd=ROOT, capture_output=True, text=True)
    assert "1 large files" in done.stdout, done.stderr
    shutil.copytree(disk / "hub", tmp_path / "copy")
    assert list(verify(tmp_path / "copy")) == []
    last = Server(place / "hub", within=inside)
    try:
        with writer(last.url) as http:
            assert_goes_on(http, before)
    finally:
        last.stop()


def test_a_disk_that_takes_no_larger_file_is_said_changes_nothing_and_is_forgotten(tmp_path: Path) -> None:
    """As a quota of the file system would, a limit on the size of files stops every write; no one need be root."""
    server = Server(tmp_path / "hub")
    try:
        with writer(server.url) as http:
            before = state_with_one_commit(server, http)
            _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, most))
            assert_refused(http, before, server.api)
            assert not any((tmp_path / "hub" / "tmp").iterdir())
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))
            assert_goes_on(http, before)
        assert list(verify(tmp_path / "hub")) == []
    finally:
        server.stop()


def state_with_one_commit(server: Server, http: httpx2.Client) -> str:
    server.api.create_repo(REPO)
    return commit(http, REPO, "before", b"there before" * 100)


def assert_refused(http: httpx2.Client, before: str, api: HfApi) -> None:
    """Small and large, and branches, too; what was there is still read."""
    large = b"much" * 100_000
    sha256 = hashlib.sha256(large).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": len(large)}]}
    link = http.post(f"/{REPO}.git/info/lfs/objects/batch", json=batch).json()["objects"][0]["actions"]["upload"]
    header = '{"key": "header", "value": {"summary": "no room"}}\n'
    small = header + '{"key": "file", "value": {"path": "small.txt", "content": "%s"}}' % ("x" * 300_000)
    for answer in (
        http.put(link["href"], content=large),
        http.post(f"/api/models/{REPO}/commit/main", content=small),
        http.post(f"/api/models/{REPO}/branch/no-room", json={}),
    ):
        assert answer.status_code == 507
        assert "disk" in answer.json()["error"]
    assert api.repo_info(REPO).sha == before
    assert http.get(f"/{REPO}/resolve/main/before.bin").content == b"there before" * 100


def assert_goes_on(http: httpx2.Client, before: str) -> None:
    after = commit(http, REPO, "after", b"room again" * 1000)
    found = http.get(f"/api/models/{REPO}/commits/main").json()
    assert [row["id"] for row in found[:2]] == [after, before]
    assert http.get(f"/{REPO}/resolve/main/after.bin").content == b"room again" * 1000
    send_plain(http, REPO, b"and large" * 10_000)
