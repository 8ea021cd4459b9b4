"""Uploads by Xet: what is sent twice, what is sent once, what survives, and what is refused."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from localhub_server import Server, run_client

UPLOAD = """
    import sys
    from huggingface_hub import HfApi
    repo, *names = sys.argv[1:]
    HfApi().create_repo(repo, exist_ok=True)
    for name in names:
        HfApi().upload_file(repo_id=repo, path_or_fileobj=name, path_in_repo=name)
"""


class Place:
    """A Hub that can be stopped and started at one address, and a client with a memory of what it sent there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "hub"
        self.server = Server(self.data)

    def restart(self) -> None:
        self.server.stop()
        self.server = Server(self.data, port=int(self.server.url.rpartition(":")[2]))

    def upload(self, repo: str, *names: str, **settings: str) -> None:
        run_client(self.server.url, self.home, UPLOAD, repo, *names, **settings)

    def xorbs(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in (self.data / "xet").glob("*/*/*")}

    def holds(self, repo: str, name: str) -> bool:
        with self.server.http() as http:
            return http.get(f"/{repo}/resolve/main/{name}").content == (self.home / name).read_bytes()

    def nothing_is_left_aside(self) -> bool:
        return not any((self.data / "tmp").iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.server.stop()


def noise(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)  # noqa: S311 - content, not a secret


def weights(count: int) -> bytes:
    return np.random.default_rng(0).standard_normal(count).astype("float32").tobytes()


@pytest.mark.parametrize("version", ["1", "2"])
def test_files_come_back_whatever_their_chunks_are_compressed_by(place: Place, version: str) -> None:
    """Noise stays as it is, text is packed, numbers are grouped first; in both versions of the shard's address."""
    contents = {
        "noise.bin": noise(3_000_001),
        "text.bin": b"".join(b"%d times %d\n" % (number % 977, number) for number in range(200_000)),
        "weights.bin": weights(1_000_000) + b"odd",
        "zeros.bin": bytes(20_000_000),
        "empty.bin": b"",
        "small.bin": b"small",
    }
    for name, content in contents.items():
        (place.home / name).write_bytes(content)
    place.upload("tester/all", *contents, HF_XET_CLIENT_SHARD_API_VERSION=version)
    assert all(place.holds("tester/all", name) for name in contents)
    sent = place.xorbs()
    assert sent
    assert sum(sent.values()) < 10_000_000
    assert place.nothing_is_left_aside()


def test_what_the_hub_has_is_not_sent_again(place: Place) -> None:
    (place.home / "w.bin").write_bytes(noise(2_000_000))
    place.upload("tester/one", "w.bin")
    sent = place.xorbs()
    assert len(sent) == 1
    place.upload("tester/one", "w.bin")
    shutil.copy(place.home / "w.bin", place.home / "copy.bin")
    place.upload("tester/two", "copy.bin")
    assert place.holds("tester/two", "copy.bin")
    assert place.xorbs() == sent
    assert len(list((place.data / "lfs").glob("*/*/*"))) == 1


def test_of_a_changed_file_only_the_change_is_sent_even_after_a_restart(place: Place) -> None:
    before = noise(8_000_000)
    (place.home / "w.bin").write_bytes(before)
    place.upload("tester/changed", "w.bin")
    sent = place.xorbs()
    place.restart()
    (place.home / "w.bin").write_bytes(before[:3_000_000] + b"changed" + before[3_000_100:] + b"and more")
    place.upload("tester/changed", "w.bin")
    assert place.holds("tester/changed", "w.bin")
    added = [size for name, size in place.xorbs().items() if name not in sent]
    assert 0 < sum(added) < 1_000_000


def test_a_client_that_remembers_a_hub_which_was_wiped_sends_everything_again(place: Place) -> None:
    (place.home / "w.bin").write_bytes(noise(2_000_000))
    place.upload("tester/wiped", "w.bin")
    sent = place.xorbs()
    shutil.rmtree(place.data / "xet")
    place.restart()
    (place.home / "v.bin").write_bytes(noise(2_000_000) + b"more")
    place.upload("tester/wiped", "v.bin")
    assert place.holds("tester/wiped", "v.bin")
    assert sum(place.xorbs().values()) >= sum(sent.values())
    place.server.stop()
    shutil.rmtree(place.data)
    place.restart()
    place.upload("tester/wiped", "w.bin", "v.bin")
    assert place.holds("tester/wiped", "v.bin")


def test_a_xorb_that_was_lost_is_named_together_with_the_remedy(place: Place) -> None:
    (place.home / "w.bin").write_bytes(noise(2_000_000))
    place.upload("tester/lost", "w.bin")
    (lost,) = (place.data / "xet").glob("*/*/*")
    lost.unlink()
    (place.home / "v.bin").write_bytes(noise(2_000_000) + b"more")
    with pytest.raises(AssertionError, match=f"the xorb {lost.name} is not here any more.*HF_XET_CACHE"):
        place.upload("tester/lost", "v.bin")
    assert place.nothing_is_left_aside()
    shutil.rmtree(place.home / "hf" / "xet")
    place.upload("tester/lost", "v.bin")
    assert place.holds("tester/lost", "v.bin")


def test_a_folder_goes_up_to_a_branch_and_to_a_pull_request(place: Place) -> None:
    folder = place.home / "folder"
    (folder / "deep").mkdir(parents=True)
    contents = {f"{number}.bin": noise(300_000, number) for number in range(6)}
    contents |= {f"deep/{number}.bin": weights(20_000 + number) for number in range(6)} | {"a.txt": b"text"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    code = """
        from huggingface_hub import HfApi
        api = HfApi()
        for pull_request in False, True:
            repo = api.create_repo(f"folder-{pull_request}", repo_type="dataset").repo_id
            api.upload_folder(repo_id=repo, repo_type="dataset", folder_path="folder", create_pr=pull_request)
    """
    run_client(place.server.url, place.home, code)
    with place.server.http() as http:
        for address in ("folder-False/resolve/main", "folder-True/resolve/refs%2Fpr%2F1"):
            for name, content in contents.items():
                assert http.get(f"/datasets/tester/{address}/{name}").content == content, (address, name)
    assert place.xorbs()
