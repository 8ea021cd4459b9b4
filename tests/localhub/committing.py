"""Commits spoken on the wire: the Hub's clients would retry a dead server for a minute."""

import base64
import hashlib
import json
from collections.abc import Callable

import httpx2
import xet_wire
from localhub_server import TOKEN

Send = Callable[[httpx2.Client, str, bytes], str]


def writer(url: str = "") -> httpx2.Client:
    return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False)


def send_plain(http: httpx2.Client, repo: str, content: bytes) -> str:
    """Uploads a large file that is not there yet; its sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": len(content)}]}
    answer = http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).raise_for_status()
    for action in answer.json()["objects"][0].get("actions", {}).values():
        http.put(action["href"], content=content).raise_for_status()
    return sha256


def send_by_xet(http: httpx2.Client, repo: str, content: bytes) -> str:
    """As one chunk: up to 128 KiB."""
    granted = http.get(f"/api/models/{repo}/xet-write-token/main").raise_for_status().json()
    how = {"Authorization": f"Bearer {granted['accessToken']}"}
    xorb, sha256 = xet_wire.name(content), hashlib.sha256(content).hexdigest()
    body = xet_wire.chunk(content, len(content))
    http.post(f"{granted['casUrl']}/v1/xorbs/default/{xorb}", content=body, headers=how).raise_for_status()
    file = xet_wire.file(sha256, (xorb, len(content), 0, 1))
    http.post(f"{granted['casUrl']}/v1/shards", content=xet_wire.shard(file), headers=how).raise_for_status()
    return sha256


def commit(http: httpx2.Client, repo: str, path: str, content: bytes, send: Send = send_plain) -> str:
    """One small and one large file of the same content, `path`.txt and .bin; the commit's id."""
    sha256 = send(http, repo, content)
    encoded = base64.b64encode(content).decode()
    lines = (
        {"key": "header", "value": {"summary": path}},
        {"key": "file", "value": {"path": f"{path}.txt", "content": encoded, "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": f"{path}.bin", "algo": "sha256", "oid": sha256, "size": len(content)}},
    )
    answer = http.post(f"/api/models/{repo}/commit/main", content="\n".join(map(json.dumps, lines)))
    return answer.raise_for_status().json()["commitOid"]
