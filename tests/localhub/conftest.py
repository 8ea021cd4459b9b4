"""A real server, and real clients: in this process by address, or in one that knows it by environment alone.

What the embedded Hub promises to the clients is what huggingface.co does. Files marked `any_hub` therefore run there
as well, in private repos that are deleted at the end, when THINKIN_TEST_HUB_TOKEN holds a write token.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from filled import fill
from huggingface_hub import HfApi, constants
from localhub_server import TOKEN_VARIABLE, Hub, HuggingFace, Server, client_environment, run_client


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "any_hub: part of the contract, checked against huggingface.co too")
    config.addinivalue_line("markers", "embedded_only(reason): left out against huggingface.co")
    config.addinivalue_line("markers", "each_transfer: about contents on their way in, checked by Xet and without")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transfer" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker
    ways: list[object] = ["xet", "plain"] if marker("each_transfer") else ["xet"]
    if TOKEN_VARIABLE in os.environ and marker("any_hub"):
        left_out = marker("embedded_only")
        marks = [pytest.mark.skip(reason=f"not on huggingface.co: {left_out.args[0]}")] if left_out else []
        ways.append(pytest.param("huggingface.co", marks=marks))
    metafunc.parametrize("transfer", ways, indirect=True, scope="session")


@pytest.fixture(scope="session")
def transfer(request: pytest.FixtureRequest) -> Iterator[str]:
    """How large files go up, by Xet, which the clients prefer, or by one plain PUT each; or where, if not to us."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "plain")
        yield request.param


@pytest.fixture(scope="session")
def server(transfer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    if transfer == "huggingface.co":
        yield HuggingFace(os.environ[TOKEN_VARIABLE])
    else:
        running = Server(tmp_path_factory.mktemp("hub"))
        yield running
        running.stop()


@pytest.fixture
def api(server: Hub) -> HfApi:
    return server.api


@pytest.fixture
def new_name(server: Hub) -> Iterator[Callable[[], str]]:
    """Thinks of a repo's name; whatever got it is deleted when the test ends."""
    names: list[str] = []

    def name() -> str:
        names.append(f"{server.user}/thinkin-test-{uuid4().hex[:12]}")
        return names[-1]

    yield name
    for used in names:
        for repo_type in ("model", "dataset"):
            server.api.delete_repo(used, repo_type=repo_type, missing_ok=True)


@pytest.fixture
def new_repo(server: Hub, new_name: Callable[[], str]) -> Callable[..., str]:
    """Makes a repo of its own for the test."""

    def make(**how: object) -> str:
        return server.api.create_repo(new_name(), **{"private": server.private, **how}).repo_id  # type: ignore[arg-type]

    return make


@pytest.fixture
def environment(server: Hub, transfer: str, tmp_path: Path) -> dict[str, str]:
    """What a process needs to know of the Hub, and nothing else of ours."""
    settings = {"HF_HUB_DISABLE_XET": "1"} if transfer == "plain" else {}
    return {**client_environment(server.url, server.token, tmp_path), **settings}


@pytest.fixture
def client(server: Hub, environment: Mapping[str, str], tmp_path: Path) -> Callable[..., str]:
    """Runs client code in a process that knows the Hub by its environment alone."""

    def run(code: str, *arguments: str, **more: str) -> str:
        return run_client(server.url, tmp_path, code, *arguments, **{**environment, **more})

    return run


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("filled") / "hub"
    fill(data)
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled data folder, to do with it whatever a test does."""
    return Path(shutil.copytree(filled, tmp_path / "hub"))


@pytest.fixture
def served(data: Path) -> Iterator[HfApi]:
    """A client of a server on that folder."""
    running = Server(data)
    yield running.api
    running.stop()
