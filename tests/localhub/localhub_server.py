"""A server in a process of its own, as the command line starts it; and a client in one, as anybody would."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
from huggingface_hub import HfApi

ROOT = Path(__file__).parents[2]
TOKEN = "hf_throwaway_writer"
USER = "tester"

START = """
import sys
from pathlib import Path
from pipelines.localhub import serve
serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[4]), sys.argv[2], sys.argv[3], lambda url: print(url, flush=True))
"""


class Server:
    """One server process on a data folder; ready when it says so."""

    def __init__(self, data: Path, token: str = TOKEN, port: int = 0) -> None:
        self.data = data
        self.token = token
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(data), token, USER, str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the server did not start"

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.url, token=self.token)

    @property
    def anonymous(self) -> HfApi:
        return HfApi(endpoint=self.url, token=False)

    def http(self, token: str | None = TOKEN) -> httpx2.Client:
        """For what the clients would never send."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


def run_client(url: str, home: Path, code: str, *arguments: str, **settings: str) -> str:
    """What the code prints; it knows the Hub at `url` by its environment alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": url,
        "HF_TOKEN": TOKEN,
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()
