"""Xet as no client would speak it: whose token, malformed xorbs and shards, and what must not be left behind."""

import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from localhub_server import TOKEN, Server
from xet_wire import END, GROUPED, LZ4, PLAIN, TAG, chunk, file, lz4, name, shard

from pipelines.localhub.errors import BadRequestError
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import shards
from pipelines.localhub.store.xorbs import MAX_CHUNK, MAX_CHUNKS, Xorbs

NewRepo = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Not the one of the clients, who do not matter here."""
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


@pytest.fixture
def store(server: Server, new_repo: NewRepo) -> Iterator[httpx2.Client]:
    """Speaks to the addresses of Xet with the token for them."""
    with server.http() as http:
        granted = http.get(f"/api/models/{new_repo()}/xet-write-token/main").json()
    headers = {"Authorization": f"Bearer {granted['accessToken']}"}
    with httpx2.Client(base_url=granted["casUrl"], headers=headers, timeout=30) as client:
        yield client


def test_a_token_is_for_writers_for_xet_alone_and_not_forever(server: Server, store: httpx2.Client) -> None:
    token = store.headers["Authorization"].removeprefix("Bearer ")
    with server.http(token=None) as stranger:
        repo = server.api.create_repo("xet-token", exist_ok=True).repo_id
        assert stranger.get(f"/api/models/{repo}/xet-write-token/main").status_code == 401
        assert stranger.post(f"{store.base_url}v1/shards", content=shard()).status_code == 401
    with server.http() as http:
        assert http.get("/api/models/tester/missing/xet-write-token/main").status_code == 404
        granted = http.get(f"/api/models/{repo}/xet-write-token/None?create_pr=1")
        assert granted.headers["X-Xet-Cas-Url"] == granted.json()["casUrl"]
        assert granted.headers["X-Xet-Access-Token"] == granted.json()["accessToken"]
        expires = int(granted.headers["X-Xet-Token-Expiration"])
        assert time.time() < expires == granted.json()["exp"] < time.time() + 86400
    user, expires, signature = token.split(":")
    for wrong in (TOKEN, ":", "::", f"other:{expires}:{signature}", f"{user}:9{expires}:{signature}", f"{token}0"):
        refused = store.post("v1/shards", content=shard(), headers={"Authorization": f"Bearer {wrong}"})
        assert refused.status_code == 401, wrong
    with server.http(token) as http:
        assert http.get("/api/whoami-v2").status_code == 401
    assert store.post("v1/shards", content=shard()).status_code == 200


def test_a_token_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path)
    token, expires = hub.sign_xet("tester")
    known = hub.identify_xet(token)
    assert known
    assert (known.user, known.role) == ("tester", "write")
    monkeypatch.setattr(time, "time", lambda: expires + 1.0)
    assert hub.identify_xet(token) is None


def test_an_upload_that_outlives_its_store_is_told_to_begin_again(store: httpx2.Client) -> None:
    gone = str(store.base_url).rstrip("/").rpartition("/")[0] + "/0123456789abcdef"
    for address in (f"/v1/xorbs/default/{'0' * 64}", "/v1/shards"):
        answer = store.post(gone + address, content=b"x")
        assert (answer.status_code, "upload again" in answer.json()["error"]) == (400, True)


BOMB = lz4(bytes(64 << 20))
XORBS = {
    "empty": (b"", "0" * 64),
    "rubbish": (b"rubbish, no chunk at all", "0" * 64),
    "another's name": (chunk(b"right", 5), name(b"wrong")),
    "chunks in another order": (chunk(b"b", 1) + chunk(b"a", 1), name(b"a", b"b")),
    "half a header": (chunk(b"a", 1) + b"\0\1", name(b"a")),
    "half a chunk": (chunk(b"abc", 3)[:-1], name(b"abc")),
    "another version": (chunk(b"a", 1, version=1), name(b"a")),
    "another compression": (chunk(b"a", 1, scheme=3), name(b"a")),
    "too large a chunk": (chunk(bytes(MAX_CHUNK + 1), MAX_CHUNK + 1), name(bytes(MAX_CHUNK + 1))),
    "too many chunks": (chunk(b"a", 1) * (MAX_CHUNKS + 1), name(*[b"a"] * (MAX_CHUNKS + 1))),
    "shorter than announced": (chunk(b"abc", 4), name(b"abc")),
    "packed, shorter than announced": (chunk(lz4(b"abc"), 4, LZ4), name(b"abc")),
    "packed, longer than announced": (chunk(lz4(b"abcd"), 3, GROUPED), name(b"abc")),
    "no frame": (chunk(b"not a frame at all", 3, LZ4), name(b"abc")),
    "half a frame": (chunk(lz4(b"abc")[:-6], 3, LZ4), name(b"abc")),
    "a bomb": (chunk(BOMB[: 2 * MAX_CHUNK], MAX_CHUNK, LZ4), name(bytes(MAX_CHUNK))),
}


@pytest.mark.parametrize("fault", XORBS)
def test_a_malformed_xorb_is_refused_with_a_reason_and_leaves_nothing(
    server: Server, store: httpx2.Client, fault: str
) -> None:
    body, spelled = XORBS[fault]
    answer = store.post(f"v1/xorbs/default/{spelled}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert not list((server.data / "xet").glob(f"*/*/{spelled}"))
    assert not any((server.data / "tmp").iterdir())


def test_a_xorb_longer_than_any_is_refused_before_it_is_looked_at(server: Server, store: httpx2.Client) -> None:
    assert store.post(f"v1/xorbs/default/{'0' * 64}", content=bytes(67 << 20)).status_code == 413
    assert not any((server.data / "tmp").iterdir())


def test_a_malformed_shard_is_refused_with_a_reason_and_leaves_nothing(server: Server, store: httpx2.Client) -> None:
    contents = [b"first of all", b"and second"]
    xorb = name(*contents)
    body = b"".join(chunk(content, len(content)) for content in contents)
    assert store.post(f"v1/xorbs/default/{xorb}", content=body + b"XETBLOB and a footer").json() == {
        "was_inserted": True
    }
    assert store.post(f"v1/xorbs/default/{xorb}", content=body).json() == {"was_inserted": False}
    sha256 = hashlib.sha256(b"".join(contents)).hexdigest()
    good = shard(file(sha256, (xorb, 22, 0, 2)))
    faults = {
        "empty": b"",
        "rubbish": b"rubbish" * 100,
        "another version": shard(version=3),
        "no end": shard()[:-1],
        "half a file": good[: len(good) - len(END) - 20],
        "more parts than there can be": TAG + struct.pack("<QQ32s4I", 2, 0, bytes(32), 1 << 30, 0xFFFFFFFF, 0, 0),
        "no sha256": shard(file(sha256, (xorb, 22, 0, 2), flags=0)),
        "another sha256": shard(file("0" * 64, (xorb, 22, 0, 2))),
        "chunks that are not there": shard(file(sha256, (xorb, 22, 0, 3))),
        "chunks far from there": shard(file(sha256, (xorb, 22, 9, 11))),
        "no chunks": shard(file(sha256, (xorb, 22, 1, 1))),
        "chunks backwards": shard(file(sha256, (xorb, 22, 2, 0))),
        "more chunks than bytes": shard(file(sha256, (xorb, 1, 0, 2))),
        "too short a part": shard(file(sha256, (xorb, 21, 0, 2))),
        "too long a part": shard(file(sha256, (xorb, 23, 0, 2))),
        "a xorb nobody sent": shard(file(sha256, ("0" * 64, 22, 0, 2))),
        "more than the disk holds": shard(file(sha256, *[(xorb, 0xFFFFFFFF, 0, 2)] * 100_000)),
    }
    for fault, content in faults.items():
        answer = store.post("v1/shards", content=content)
        assert answer.status_code == (413 if fault == "more than the disk holds" else 400), (fault, answer.text)
        event = store.post("v2/shards", content=content).json()
        assert (event["type"], event["retryable"]) == ("error", False), fault
        assert event["message"][:60] == answer.json()["error"][:60], fault
        assert not any((server.data / "tmp").iterdir()), fault
    assert not (server.data / "lfs" / sha256[:2] / sha256[2:4] / sha256).exists()
    assert store.post("v2/shards", content=good).json() == {"type": "result"}
    assert (server.data / "lfs" / sha256[:2] / sha256[2:4] / sha256).read_bytes() == b"".join(contents)


@given(st.lists(st.tuples(st.binary(max_size=70), st.sampled_from([PLAIN, LZ4, GROUPED])), min_size=1, max_size=40))
def test_chunks_are_read_as_they_were_packed(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[bytes, int]]
) -> None:
    data = tmp_path_factory.mktemp("xorbs")
    (data / "tmp").mkdir()
    xorbs = Xorbs(data)
    contents = [content for content, _ in chunks]
    groups = {GROUPED: lambda content: b"".join(content[place::4] for place in range(4))}
    body = b"".join(
        chunk(content if scheme == PLAIN else lz4(groups.get(scheme, bytes)(content)), len(content), scheme)
        for content, scheme in chunks
    )
    xorbs.add(name(*contents), BytesIO(body))
    for start in range(len(chunks)):
        assert list(xorbs.read(name(*contents), start, len(chunks))) == contents[start:]


def test_a_chunk_is_read_without_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    xorbs = Xorbs(tmp_path)
    contents = [str(number).encode() for number in range(MAX_CHUNKS)]
    xorbs.add(name(*contents), BytesIO(b"".join(chunk(content, len(content)) for content in contents)))
    (kept,) = tmp_path.glob("xet/*/*/*")
    with kept.open("r+b") as file:
        file.write(b"!" * sum(len(content) for content in contents[:-1]))
    assert list(xorbs.read(name(*contents), MAX_CHUNKS - 1, MAX_CHUNKS)) == contents[-1:]


@given(st.binary(max_size=400))
def test_bytes_that_are_no_shard_are_refused_and_cause_no_other_error(body: bytes) -> None:
    for content in (body, TAG + struct.pack("<QQ", 2, 0) + body):
        if END[:32] not in content:
            with pytest.raises(BadRequestError):
                list(shards.recipes(BytesIO(content)))
