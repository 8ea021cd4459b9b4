"""What was acknowledged is there after a crash; one folder has one server."""

import itertools
import os
import random
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from committing import commit, send_by_xet, send_plain, writer
from huggingface_hub import HfApi
from localhub_server import ROOT, TOKEN, ForkedServer, Server

from pipelines.localhub import verify

KILLS = 50
WRITERS = 4


@dataclass(frozen=True)
class Acknowledged:
    path: str
    oid: str
    content: bytes


def test_no_kill_loses_an_acknowledged_commit_or_leaves_half_of_one(tmp_path: Path) -> None:
    """Writers race until the server dies under them, at any moment; the next one must have what they were told."""
    seed = int(os.environ.get("CRASH_SEED", secrets.randbits(32)))
    print(f"CRASH_SEED={seed}")
    moments = random.Random(seed)  # noqa: S311 - moments, not secrets
    data, repo = tmp_path / "hub", "crash/repo"
    clients = [writer() for _ in range(WRITERS)]
    everything: list[Acknowledged] = []
    recent: list[Acknowledged] = []
    for number in range(KILLS + 1):
        server = ForkedServer(data)
        assert not any((data / "tmp").iterdir())
        for client in clients:
            client.base_url = server.url
        if number == 0:
            clients[0].post("/api/repos/create", json={"organization": "crash", "name": "repo"}).raise_for_status()
        assert_whole(clients[0], repo, recent)
        assert list(verify(data)) == []
        if number == KILLS:
            break
        recent = []
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [
                pool.submit(write, client, repo, f"{number}/{name}", moments.randbytes(8), recent)
                for name, client in enumerate(clients)
            ]
            wait(writers, moments.uniform(0, 0.2))  # they end when the server does: its moment comes first
            server.kill()
            for one in writers:
                one.result()
        everything += recent
    try:
        assert len(everything) > KILLS
        history = HfApi(endpoint=server.url, token=TOKEN)
        assert {one.oid for one in everything} <= {commit.commit_id for commit in history.list_repo_commits(repo)}
        assert_whole(clients[0], repo, everything)
        paths = history.list_repo_files(repo)
        assert stems(paths, ".txt") == stems(paths, ".bin") >= {one.path for one in everything}
    finally:
        server.kill()


def write(http: httpx2.Client, repo: str, name: str, seed: bytes, told: list[Acknowledged]) -> None:
    """Commits one small and one large file, of a few bytes up to a hundred thousand, until the server is gone."""
    chance = random.Random(seed)  # noqa: S311
    with suppress(httpx2.TransportError):
        for turn in itertools.count():
            path, content = f"{name}/{turn}", chance.randbytes(int(10 ** chance.uniform(1, 5)))
            send = chance.choice((send_plain, send_by_xet))
            told.append(Acknowledged(path, commit(http, repo, path, content, send), content))


def assert_whole(http: httpx2.Client, repo: str, told: list[Acknowledged]) -> None:
    for one in told:
        for end in (".txt", ".bin"):
            assert http.get(f"/{repo}/resolve/{one.oid}/{one.path}{end}").content == one.content, one.path


def stems(paths: list[str], end: str) -> set[str]:
    return {path.removesuffix(end) for path in paths if path.endswith(end)}


def test_importing_the_hub_loads_no_server_and_nothing_else_of_ours() -> None:
    code = "import sys; from pipelines.localhub import serve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"starlette", "uvicorn", "pydantic", "jinja2", "pyarrow", "yaml", "sqlite3"} & set(loaded.split())
    ours = {name for name in loaded.split() if name.startswith("pipelines.")}
    assert ours == {"pipelines.localhub"}


def test_an_upload_link_outlives_a_restart(tmp_path: Path) -> None:
    first = Server(tmp_path / "hub")
    first.api.create_repo("crash/repo")
    oid = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
    with first.http() as http:
        batch = {"operation": "upload", "objects": [{"oid": oid, "size": 5}]}
        answer = http.post("/crash/repo.git/info/lfs/objects/batch", json=batch)
    link = answer.json()["objects"][0]["actions"]["upload"]["href"]
    first.kill()
    second = Server(tmp_path / "hub")
    with second.http(token=None) as http:
        assert http.put(link.replace(first.url, second.url), content=b"hello").status_code == 200
    second.stop()


def test_a_second_server_on_the_same_folder_does_not_start(server: Server) -> None:
    with pytest.raises(AssertionError, match="did not start"):
        Server(server.data)
    assert server.api.whoami()["name"]


def test_a_new_token_replaces_the_one_before(tmp_path: Path) -> None:
    first = Server(tmp_path / "hub", token="hf_first")
    assert first.api.whoami()["name"]
    first.stop()
    second = Server(tmp_path / "hub", token="hf_second")
    with second.http("hf_first") as http:
        assert http.get("/api/whoami-v2").status_code == 401
    assert second.api.whoami()["name"]
    second.stop()


def test_an_interrupted_server_ends_quietly(tmp_path: Path) -> None:
    server = Server(tmp_path / "hub")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=10) == 0
