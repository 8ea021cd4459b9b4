"""How fast and how light the embedded Hub is, beside what the disk and plain HTTP do in the same run. By hand:

    python tests/localhub/benchmark.py [--folder DIR] [--gigabytes 1] [--turns 3]

Everything is kept in a folder below DIR (default: the system's temporary folder) and removed at the end. A goal that
is missed ends the run with exit code 1. Figures of a busy machine mean little by themselves: the ratios are what to
compare, and more than one run.
"""

import argparse
import hashlib
import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from localhub_server import TOKEN, Server

CLIENTS = 8
COMMITS = 100
TREE_FILES = 1500
PIECE = 1 << 20

PLAIN = """
import socket, sys
from pathlib import Path
import uvicorn
from starlette.requests import Request
from starlette.responses import FileResponse, Response

KEPT = Path(sys.argv[1])

async def app(scope, receive, send):
    request = Request(scope, receive)
    if request.method == "GET":
        return await FileResponse(KEPT)(scope, receive, send)
    with KEPT.open("wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
    await Response()(scope, receive, send)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)).run(sockets=[listener])
"""

SEND = """
import sys
from huggingface_hub import HfApi

HfApi().upload_file(repo_id=sys.argv[1], path_or_fileobj=sys.argv[2], path_in_repo="large.bin")
"""


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--folder", type=Path, help="where to put the data: the disk that is measured")
    options.add_argument("--gigabytes", type=float, default=1, help="size of the large file")
    options.add_argument("--turns", type=int, default=3, help="how often it is sent; the median turn counts")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        goals = measure(Path(name), int(chosen.gigabytes * (1 << 30)), chosen.turns)
    for what, measured, reached in goals:
        print(f"{'yes' if reached else 'NO ':3}  {what:42} {measured}")
    return 0 if all(reached for _, _, reached in goals) else 1


def measure(folder: Path, size: int, turns: int) -> list[tuple[str, str, bool]]:
    """(what and its goal, what was measured, whether the goal is reached)."""
    started = time.perf_counter()
    server = Server(folder / "hub")
    ready = time.perf_counter() - started
    try:
        syncs = syncs_per_second(folder / "sync")
        commits = commits_per_second(server)
        listing = statistics.median(seconds_to_list(server, tree_of(server)) for _ in range(20))
        before = peak_megabytes(server)
        with plain_server(folder / "plain") as plain:
            rates = [transfer_rates(server, plain, folder / "content", size) for _ in range(turns)]
        peak = peak_megabytes(server)
    finally:
        server.stop()
    xet_rate, xet_peak = upload_by_xet(folder, size)
    up, plain_up, _, _ = sorted(rates, key=lambda turn: turn[0] / turn[1])[turns // 2]
    _, _, down, plain_down = sorted(rates, key=lambda turn: turn[2] / turn[3])[turns // 2]
    return [
        ("durable commits a second >= 150", f"{commits:.0f} ({syncs:.0f} fsync/s on this disk)", commits >= 150),
        ("upload >= 50 % of plain HTTP", f"{up:.0f} of {plain_up:.0f} MB/s: {up / plain_up:.0%}", up >= plain_up / 2),
        (
            "download >= 50 % of plain HTTP",
            f"{down:.0f} of {plain_down:.0f} MB/s: {down / plain_down:.0%}",
            down >= plain_down / 2,
        ),
        ("memory at its peak <= 100 MB", f"{peak:.0f} MB ({before:.0f} MB before the large file)", peak <= 100),
        ("memory at its peak by Xet <= 100 MB", f"{xet_peak:.0f} MB at {xet_rate:.0f} MB/s", xet_peak <= 100),
        ("from start to ready <= 1 s", f"{ready:.2f} s", ready <= 1),
        (f"listing {TREE_FILES} files <= 50 ms", f"{1000 * listing:.0f} ms", listing <= 0.05),
    ]


def syncs_per_second(path: Path, turns: int = 200) -> float:
    """What a commit cannot be faster than, one at a time: a page appended and synced."""
    with path.open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(turns):
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
        return turns / (time.perf_counter() - started)


def commits_per_second(server: Server) -> float:
    """Small commits by clients that keep their connections, all to one branch."""
    server.api.create_repo("bench/commits")

    def work(number: int) -> None:
        connection = connect(server.url)
        for turn in range(COMMITS):
            ask(connection, "POST", "/api/models/bench/commits/commit/main", small_commit([f"{number}/{turn}.txt"]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return CLIENTS * COMMITS / (time.perf_counter() - started)


def tree_of(server: Server) -> str:
    server.api.create_repo("bench/tree", exist_ok=True)
    names = [f"folder-{number % 15}/file-{number}.txt" for number in range(TREE_FILES)]
    ask(connect(server.url), "POST", "/api/models/bench/tree/commit/main", small_commit(names))
    return "bench/tree"


def seconds_to_list(server: Server, repo: str) -> float:
    connection = connect(server.url)
    started = time.perf_counter()
    path: str | None = f"/api/models/{repo}/tree/main?recursive=1"
    found = 0
    while path:
        answer, rows = ask(connection, "GET", path)
        found += len(json.loads(rows))
        link = answer.getheader("Link")
        path = link.partition(">")[0].removeprefix(f"<{server.url}") if link else None
    seconds = time.perf_counter() - started
    assert found > TREE_FILES
    return seconds


def transfer_rates(server: Server, plain: str, content: Path, size: int) -> tuple[float, float, float, float]:
    """MB/s of a new file: up, plain up, down, plain down."""
    sha256 = write_random(content, size)
    server.api.create_repo("bench/large", exist_ok=True)
    ours = connect(server.url)
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": size}]}
    _, answer = ask(ours, "POST", "/bench/large.git/info/lfs/objects/batch", json.dumps(batch).encode())
    link = urlsplit(json.loads(answer)["objects"][0]["actions"]["upload"]["href"])
    plain_up = rate(size, lambda: upload(connect(plain), "/", content))
    up = rate(size, lambda: upload(ours, f"{link.path}?{link.query}", content))
    entry = {"key": "lfsFile", "value": {"path": "large.bin", "algo": "sha256", "oid": sha256, "size": size}}
    header = {"key": "header", "value": {"summary": "large"}}
    ask(ours, "POST", "/api/models/bench/large/commit/main", "\n".join(map(json.dumps, (header, entry))).encode())
    plain_down = rate(size, lambda: download(connect(plain), "/", size))
    down = rate(size, lambda: download(ours, "/bench/large/resolve/main/large.bin", size))
    return up, plain_up, down, plain_down


def upload_by_xet(folder: Path, size: int) -> tuple[float, float]:
    """MB/s and the server's peak in MB, for a file of which half can be compressed, sent by a client with nothing
    switched off."""
    server, content = Server(folder / "xet-hub"), folder / "mixed"
    with content.open("wb") as file:
        for _ in range(0, size, PIECE):
            file.write(os.urandom(PIECE // 2) + secrets.token_bytes(64) * (PIECE // 128))
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "home")}
    environment.pop("HF_HUB_DISABLE_XET", None)
    try:
        server.api.create_repo("bench/xet")
        command = [sys.executable, "-c", SEND, "bench/xet", str(content)]
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        sent = size / 1e6 / (time.perf_counter() - started)
        assert any(path.is_file() for path in (folder / "xet-hub" / "xet").rglob("*")), "the client did not use Xet"
        return sent, peak_megabytes(server)
    finally:
        server.stop()


def rate(size: int, transfer: Callable[[], None]) -> float:
    started = time.perf_counter()
    transfer()
    return size / 1e6 / (time.perf_counter() - started)


def upload(connection: http.client.HTTPConnection, path: str, content: Path) -> None:
    with content.open("rb") as file:
        connection.request("PUT", path, file, {"Content-Length": str(content.stat().st_size)})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


def download(connection: http.client.HTTPConnection, path: str, size: int) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    buffer, received = bytearray(PIECE), 0
    while count := answer.readinto(buffer):
        received += count
    assert received == size


def connect(url: str) -> http.client.HTTPConnection:
    address = urlsplit(url)
    assert address.hostname is not None
    return http.client.HTTPConnection(address.hostname, address.port, blocksize=PIECE, timeout=600)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return answer, content


def small_commit(paths: list[str]) -> bytes:
    lines: list[object] = [{"key": "header", "value": {"summary": f"add {paths[0]}"}}]
    lines += [{"key": "file", "value": {"path": path, "content": f"the content of {path}"}} for path in paths]
    return "\n".join(map(json.dumps, lines)).encode()


def write_random(path: Path, size: int) -> str:
    """A file nobody can compress, and its sha256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(0, size, PIECE):
            piece = os.urandom(PIECE)
            digest.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def plain_server(kept: Path) -> Iterator[str]:
    """The same web server without hash, sync or a store: the fastest that this stack moves a file."""
    process = subprocess.Popen([sys.executable, "-c", PLAIN, str(kept)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def peak_megabytes(server: Server) -> float:
    """The most memory the server's process has held so far (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    sys.exit(main())
