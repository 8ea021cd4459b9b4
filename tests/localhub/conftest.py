"""A real server, and real clients: in this process by address, or in one that knows it by environment alone."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from huggingface_hub import HfApi, constants
from localhub_server import TOKEN, Server


@pytest.fixture(scope="session", autouse=True)
def _plain_uploads() -> Iterator[None]:
    """The Xet route is not served yet, and the client reads its environment once, at import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


@pytest.fixture
def api(server: Server) -> HfApi:
    return server.api


@pytest.fixture
def new_repo(api: HfApi) -> Callable[..., str]:
    """Makes a repo of its own for the test."""

    def make(**how: object) -> str:
        return api.create_repo(f"repo-{uuid4().hex[:12]}", **how).repo_id  # type: ignore[arg-type]

    return make


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Callable[..., str]:
    """Runs client code in a process that knows the Hub by its environment alone."""

    def run(code: str, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    return run
