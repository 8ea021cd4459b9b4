"""A real server, and real clients: in this process by address, or in one that knows it by environment alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from huggingface_hub import HfApi, constants
from localhub_server import Server, run_client


@pytest.fixture(scope="session", params=["xet", "plain"])
def transfer(request: pytest.FixtureRequest) -> Iterator[str]:
    """How large files go up: by Xet, which the clients prefer, or by one plain PUT each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "plain")
        yield request.param


@pytest.fixture(scope="session")
def server(transfer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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
def client(server: Server, transfer: str, tmp_path: Path) -> Callable[..., str]:
    """Runs client code in a process that knows the Hub by its environment alone."""
    settings = {"HF_HUB_DISABLE_XET": "1"} if transfer == "plain" else {}

    def run(code: str, *arguments: str) -> str:
        return run_client(server.url, tmp_path, code, *arguments, **settings)

    return run
