"""The Hubs to talk to: a server in a process of its own, as the command line starts it, and huggingface.co; and a
client in a process, as anybody would run it."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import httpx2
from huggingface_hub import HfApi

ROOT = Path(__file__).parents[2]
TOKEN = "hf_throwaway_writer"
USER = "tester"
TOKEN_VARIABLE = "THINKIN_TEST_HUB_TOKEN"

START = """
import sys
from pathlib import Path
from pipelines.localhub import serve
serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[4]), sys.argv[2], sys.argv[3], lambda url: print(url, flush=True))
"""


class Hub:
    """A Hub at an address, and a write token for it."""

    private = False
    """Whether the repos made there are private unless a check says otherwise."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.url, token=self.token)

    @property
    def anonymous(self) -> HfApi:
        return HfApi(endpoint=self.url, token=False)

    @cached_property
    def user(self) -> str:
        """Whose token it is."""
        return self.api.whoami()["name"]

    def http(self, token: str | None = TOKEN) -> httpx2.Client:
        """For what the clients would never send."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30)


class HuggingFace(Hub):
    """huggingface.co itself: what is made there is seen by nobody else."""

    private = True

    def __init__(self, token: str) -> None:
        super().__init__("https://huggingface.co", token)


class Server(Hub):
    """One server process on a data folder; ready when it says so."""

    user = USER

    def __init__(
        self,
        data: Path,
        token: str = TOKEN,
        port: int = 0,
        log: IO[str] | None = None,
        within: Sequence[str] = (),
        start: str = START,
    ) -> None:
        """`within` is a command that runs another one; `start` is the code that serves."""
        self.data = data
        self.process = subprocess.Popen(
            [*within, sys.executable, "-c", start, str(data), token, USER, str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert self.process.stdout is not None
        super().__init__(self.process.stdout.readline().strip(), token)
        assert self.url.startswith("http://127.0.0.1:"), "the server did not start"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pipelines.localhub.server", "pytest"])  # a fork loads its parent's main module, too


class ForkedServer:
    """The same, out of a process that has imported everything already: ready in a twentieth of the time."""

    def __init__(self, data: Path) -> None:
        from pipelines.localhub import serve  # which a script beside this file, as the benchmark, cannot import

        receiver, sender = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=serve, args=(data, "127.0.0.1", 0, TOKEN, USER, sender.send))
        self.process.start()
        sender.close()
        self.url = str(receiver.recv())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def client_environment(url: str, token: str, home: Path) -> dict[str, str]:
    """All that a client's process knows of the Hub."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": url,
        "HF_TOKEN": token,
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",  # for models this small, more threads only wait for one another
    }


def run_client(url: str, home: Path, code: str, *arguments: str, **settings: str) -> str:
    """What the code prints; it knows the Hub at `url` by its environment alone."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**client_environment(url, TOKEN, home), **settings},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()
