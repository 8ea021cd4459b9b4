"""A Docker engine for the tests: the one that runs, or one of Debian's packages, started for them as root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = Path("/var/run/docker.sock")
SIZE = 40 << 30
"""The most bytes that images and containers may take; only what they do take is there."""
INSTALL = "`make engine` installs one on Debian, as root"


class NoEngine(Exception):
    """Why there is none."""


def environment() -> dict[str, str]:
    """Debian's client goes first: it builds with BuildKit by itself, where newer ones want a plugin for that."""
    return {**os.environ, "PATH": f"/usr/bin:{os.environ['PATH']}", "DOCKER_BUILDKIT": "1"}


def docker(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    line = ["docker", *words]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]


def answers() -> bool:
    return docker("version", "--format", "{{.Server.Version}}").returncode == 0


@contextmanager
def running() -> Iterator[bool]:
    """An engine at Docker's usual address, for as long as the block runs; whether it is ours. Raises NoEngine."""
    if shutil.which("docker") is None:
        raise NoEngine(f"there is no Docker here; {INSTALL}")
    if answers():
        yield False
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine(f"no Docker engine runs here, and none can be started; {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="thinkin-docker-") as folder, _disk(Path(folder)), _daemon(Path(folder)):
        yield True


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A file system in one file, where that can be had: it goes at once, and not file by file for minutes."""
    file = folder / "disk"
    with file.open("wb") as made:
        made.truncate(SIZE)
    (folder / "data").mkdir()
    made = _quietly("mkfs.ext4", "-q", "-F", str(file)) and _quietly("mount", "-o", "loop", file, folder / "data")
    try:
        yield
    finally:
        if made:
            _quietly("umount", folder / "data")


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    places = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with (folder / "log").open("w+") as log:
        line = ["dockerd", *places, "--pidfile", str(folder / "pid"), "--host", f"unix://{SOCKET}"]
        process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
        try:
            while not answers():
                if process.poll() is not None:
                    log.seek(0)
                    raise NoEngine(f"the Docker engine does not start: {log.read().strip().splitlines()[-1]}")
            yield
        finally:
            process.terminate()
            process.wait(30)
            _quietly("umount", folder / "exec/netns/default")


def _quietly(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
