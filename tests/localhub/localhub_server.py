"""A server in a process of its own, as the command line starts it."""

import subprocess
import sys
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
serve(Path(sys.argv[1]), "127.0.0.1", 0, sys.argv[2], sys.argv[3], lambda url: print(url, flush=True))
"""


class Server:
    """One server process on a data folder; ready when it says so."""

    def __init__(self, data: Path, token: str = TOKEN) -> None:
        self.data = data
        self.token = token
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(data), token, USER], cwd=ROOT, stdout=subprocess.PIPE, text=True
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
