"""What was acknowledged is there after a crash; one folder has one server."""

import base64
import hashlib
import itertools
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import xet_wire
from localhub_server import ROOT, Server

Send = Callable[[httpx2.Client, str, bytes], None]


def send_plain(http: httpx2.Client, repo: str, content: bytes) -> None:
    batch = {"operation": "upload", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]}
    actions = http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).json()["objects"][0]["actions"]
    http.put(actions["upload"]["href"], content=content).raise_for_status()


def send_by_xet(http: httpx2.Client, repo: str, content: bytes) -> None:
    granted = http.get(f"/api/models/{repo}/xet-write-token/main").raise_for_status().json()
    how = {"Authorization": f"Bearer {granted['accessToken']}"}
    xorb = xet_wire.name(content)
    body = xet_wire.chunk(content, len(content))
    http.post(f"{granted['casUrl']}/v1/xorbs/default/{xorb}", content=body, headers=how).raise_for_status()
    file = xet_wire.file(hashlib.sha256(content).hexdigest(), (xorb, len(content), 0, 1))
    http.post(f"{granted['casUrl']}/v1/shards", content=xet_wire.shard(file), headers=how).raise_for_status()


def commit(http: httpx2.Client, send: Send, repo: str, path: str, content: bytes) -> str:
    """One small and one large file, spoken on the wire: the clients would retry a dead server for a minute."""
    send(http, repo, content)
    sha256 = hashlib.sha256(content).hexdigest()
    encoded = base64.b64encode(content).decode()
    lines = (
        {"key": "header", "value": {"summary": path}},
        {"key": "file", "value": {"path": f"{path}.txt", "content": encoded, "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": f"{path}.bin", "algo": "sha256", "oid": sha256, "size": len(content)}},
    )
    answer = http.post(f"/api/models/{repo}/commit/main", content="\n".join(map(json.dumps, lines)))
    return answer.raise_for_status().json()["commitOid"]


@pytest.mark.parametrize("send", [send_plain, send_by_xet])
def test_a_killed_server_keeps_every_acknowledged_commit(tmp_path: Path, send: Send) -> None:
    """Writers race until the server dies under them; what they were told is compared with what the next one has."""
    data, repo = tmp_path / "hub", "crash/repo"
    acknowledged: dict[str, tuple[str, bytes]] = {}
    moments = random.Random(0)  # noqa: S311 - moments, not secrets
    for round_number in range(8):
        server = Server(data)
        server.api.create_repo(repo, exist_ok=True)
        enough = len(acknowledged) + moments.randrange(2, 60)
        reached = threading.Event()

        def write(name: str, server: Server, enough: int, reached: threading.Event) -> None:
            with server.http() as http, suppress(httpx2.HTTPError):
                for turn in itertools.count():
                    content = f"{name} {turn} {'x' * 1000}".encode()
                    acknowledged[f"{name}/{turn}"] = (commit(http, send, repo, f"{name}/{turn}", content), content)
                    if len(acknowledged) >= enough:
                        reached.set()

        names = [f"{round_number}/{number}" for number in range(4)]
        writers = [threading.Thread(target=write, args=(name, server, enough, reached)) for name in names]
        for writer in writers:
            writer.start()
        assert reached.wait(60)
        server.kill()
        for writer in writers:
            writer.join()

    server = Server(data)
    try:
        for path in (data / "xet").glob("*/*/*"):
            assert path.read_bytes() == xet_wire.chunk(path.read_bytes()[8:], path.stat().st_size - 8)
            assert path.name == xet_wire.name(path.read_bytes()[8:])
        known = {commit.commit_id for commit in server.api.list_repo_commits(repo)}
        assert {oid for oid, _ in acknowledged.values()} <= known
        assert not any((data / "tmp").iterdir())
        with server.http() as http:
            for path, (_, content) in acknowledged.items():
                for end in (".txt", ".bin"):
                    assert http.get(f"/{repo}/resolve/main/{path}{end}").content == content
    finally:
        server.stop()


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
