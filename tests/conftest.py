"""One embedded Hub for the whole suite. The Hub's libraries read their settings at import: they are set here, first."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOKEN = "hf_the_test_suite"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


PORT = _free_port()
_home = tempfile.TemporaryDirectory(prefix="thinkin-tests-")
os.environ |= {
    "HF_ENDPOINT": f"http://127.0.0.1:{PORT}",
    "HF_TOKEN": TOKEN,
    "HF_HOME": str(Path(_home.name) / "hf"),
    "THINKIN_CACHE": str(Path(_home.name) / "cache"),
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@pytest.fixture(scope="session")
def hub_server() -> Iterator[str]:
    """The address of a running embedded Hub; HF_ENDPOINT and HF_TOKEN point at it."""
    command = [sys.executable, "-m", "pipelines", "hub", "--data", f"{_home.name}/hub", "--port", str(PORT)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        first = process.stdout.readline()  # printed once the Hub accepts connections
        if os.environ["HF_ENDPOINT"] not in first:
            process.terminate()
            raise RuntimeError(f"the Hub did not start: {first}{process.communicate()[1]}")
        yield os.environ["HF_ENDPOINT"]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A recipe name of the test's own, so that tests share a Hub and no repo."""
    return f"t{abs(hash(request.node.nodeid)) % 10**9}"
