"""Requests that are almost right: most of each is what a client would send, so that the rest is met deep inside."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from localhub_server import TOKEN
from xet_wire import LZ4, chunk, file, lz4, name, shard

from pipelines.localhub.api import accounts, contents, repositories, threads, uploads, xet
from pipelines.localhub.routes import Route

LARGE = b"large and kept" * 99
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
SHA256S = (LARGE_SHA256, "0" * 64)
XORB = name(b"xet", b"xx")

CARDS = [
    *(
        "# Hi",
        "<b onclick=x>",
        "[a](data:text/html,x) ![](//x) <javascript:x>",
        "|a|\n|:-:|\n|b|",
        "> " * 50,
        "![" * 50,
    ),
    *("---\ntags: [a]\n---\n# Hi", "---\nlanguage: no\n---", "---\n- x\n---", "---\n? [a]\n: b\n---", "---\n1: 2\n---"),
    *("---\na: !!bool x\n---", "---\na: 1:0:0.5\n---", "---\na: !!int\n---", "---\na: !!timestamp x\n---"),
    *("---\na: &a [*a]\n---", "---\n<<: {a: b}\n---", "---\na: 2020-02-30\n---", "---\na: !!set {b}\n---"),
    *("---\na: 9999-12-31T23:59:59-23:59\n---", f"---\na: 1{':59' * 400}.5\n---", "---\na: !!python/name:os\n---"),
    *("---\nconfigs: [[], {}, {config_name: [x], data_files: {path: ['*', 3, null]}}]\n---", "---\ntags: {a: b}\n---"),
]
PATTERNS = [
    "*.txt",
    "!a",
    "/d/**",
    "**/**/x",
    "[!",
    "[a-",
    "[z-a]",
    "\\",
    "d/",
    "*a*a*b",
    "# x",
    "/",
    "!",
    "** filter=lfs",
]
ODD_TEXTS = [
    *(
        "",
        " ",
        ".",
        "..",
        "../..",
        "a/../b",
        "/etc/passwd",
        "..\\..",
        "%2e%2e%2f",
        ".git/config",
        ".GIT",
        "．．/x",
        "c:/x",
    ),
    *(
        "a\0b",
        "a\nb",
        "\u202e",
        "é",
        "e\u0301",
        "😀",
        "{{7*7}}",
        "<script>",
        "data:image/пример;x,y",
        "x.пример",
        "\x7f\x01",
    ),
    *(
        "-1",
        "0",
        "1e9",
        "NaN",
        "９",
        "null",
        "true",
        "refs/heads/main",
        "HEAD",
        "main^",
        "x" * 300,
        "a/" * 120,
        "[" * 50,
    ),
]
FIELDS = {
    "Range": ["bytes=0-3", "bytes=-5", "bytes=9-", "bytes=-", "bytes=5-1", "bytes=0-1,3-4", "x", "bytes=-0"],
    "If-None-Match": ['"x"', "*", "W/"],
    "If-Range": ['"x"', ""],
    "Content-Type": ["application/json", "application/x-ndjson", "text/html", ""],
    "X-Forwarded-Proto": ["https", "javascript", ""],
    "Host": ["localhost", "[", "[::1]:80", "127.0.0.1:99999999", "a b", "évil", "evil.example", "@", "a@b:c"],
    "Upgrade": ["websocket", "h2c"],
    "Authorization": ["", "Bearer", "Bearer  ", "Bearer wrong", "Basic eDp5", "é", "Bearer é"],
}
ARGUMENTS = [
    *("limit", "skip", "cursor", "p", "expand", "recursive", "blobs", "full", "filter", "search", "author", "sort"),
    *("create_pr", "type", "status", "size", "expires", "signature", "expand[]", "include_prs"),
]


@dataclass(frozen=True)
class Granted:
    """What the server signed: addresses to upload to, and where and with which token Xet uploads go."""

    links: Sequence[str]
    xet_store: str
    xet_token: str


@dataclass(frozen=True)
class Sent:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def mostly(expected: SearchStrategy[Any], otherwise: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda roll: otherwise if roll == 9 else expected)


def one_of(*expected: str) -> SearchStrategy[str]:
    return mostly(st.sampled_from(expected), texts)


texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=30)
numbers = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**40])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
names = one_of("model", "data", "gone")
paths = one_of("README.md", "a.txt", "w.bin", "d/e/f.txt", "d", "d/e", "t.parquet", ".gitattributes", ".gitignore")
revisions = one_of("main", "feature/x", "v1", "refs/pr/1", "refs/heads/main", "0" * 40, "abcdef1")
digests = one_of(*SHA256S)
sizes = mostly(st.integers(0, 100), st.integers())
kinds = st.sampled_from(["model", "dataset"])
cards = st.sampled_from(CARDS) | texts.map(lambda text: f"---\n{text}\n---\n{text}")
patterns = st.lists(st.sampled_from(PATTERNS) | texts).map("\n".join)

one_file = st.fixed_dictionaries({"path": paths, "content": cards | patterns}) | st.fixed_dictionaries(
    {"path": paths, "content": st.just("aGVsbG8="), "encoding": st.just("base64")}
)
one_large = st.fixed_dictionaries({"path": paths, "algo": st.just("sha256"), "oid": digests, "size": st.none() | sizes})
only_a_path = st.fixed_dictionaries({"path": paths})
header = st.fixed_dictionaries(
    {"summary": texts}, optional={"description": texts, "parentCommit": st.sampled_from(["0" * 40, "abcdef1"])}
)


def line(key: str, value: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.fixed_dictionaries({"key": st.just(key), "value": value})


operations = st.one_of(
    line("file", one_file),
    line("lfsFile", one_large),
    line("deletedFile", only_a_path),
    line("deletedFolder", only_a_path),
)
commit_lines = st.builds(lambda first, rest: [first, *rest], line("header", header), st.lists(operations, max_size=4))
form = st.builds(
    lambda wanted, expand: urlencode({"paths": wanted, "expand": expand}, doseq=True).encode(),
    st.lists(paths, max_size=4),
    st.sampled_from(["true", "false", "x"]),
)
titles = texts.map(lambda text: f"About {text}")
moves = {"fromRepo": st.sampled_from(["fuzz/gone", "fuzz/moved"]), "toRepo": names.map("fuzz/{}".format), "type": kinds}
own = {"organization": st.just("fuzz"), "type": kinds}
files = st.fixed_dictionaries({"path": paths, "size": sizes, "sample": texts})
objects = st.fixed_dictionaries({"oid": digests, "size": sizes})
# To delete and to move there are repos of their own: the others would not last.
BODIES: dict[Any, SearchStrategy[Any]] = {
    accounts.validate_yaml: st.fixed_dictionaries({"content": cards, "repoType": kinds}),
    repositories.create: st.fixed_dictionaries({"name": names, **own}, optional={"private": st.booleans()}),
    repositories.delete: st.fixed_dictionaries({"name": st.just("gone") | texts, **own}),
    repositories.move: st.fixed_dictionaries(moves),
    repositories.settings: st.fixed_dictionaries({"private": st.booleans(), "gated": st.sampled_from(["auto", False])}),
    contents.create_branch: st.fixed_dictionaries({"startingPoint": st.none() | revisions}),
    contents.create_tag: st.fixed_dictionaries({"tag": revisions, "message": texts}),
    contents.super_squash: st.fixed_dictionaries({"message": texts}),
    uploads.preupload: st.fixed_dictionaries({"files": st.lists(files, max_size=4)}, optional={"gitIgnore": patterns}),
    uploads.large_batch: st.fixed_dictionaries(
        {"operation": st.just("upload"), "objects": st.lists(objects, max_size=4)}
    ),
    threads.create: st.fixed_dictionaries({"title": titles, "description": texts, "pullRequest": st.booleans()}),
    threads.comment: st.fixed_dictionaries({"comment": texts}),
    threads.title: st.fixed_dictionaries({"title": titles}),
    threads.status: st.fixed_dictionaries(
        {"status": st.sampled_from(["open", "closed"]), "comment": st.none() | texts}
    ),
}
PLACES: dict[str, SearchStrategy[str]] = {
    "kind": st.sampled_from(["models", "datasets"]),
    "repo": mostly(st.sampled_from(["fuzz/model", "fuzz/data"]), st.builds("{}/{}".format, texts, names)),
    "rev": revisions,
    "branch": revisions,
    "path": paths,
    "num": st.integers(0, 6).map(str) | st.just("9" * 9),
    "sha256": st.sampled_from(SHA256S),
    "xorb": st.sampled_from([XORB, "0" * 64]),
    "store": texts,
}
SHARD = shard(file(hashlib.sha256(b"xet").hexdigest(), (XORB, 3, 0, 1)))
BYTES = {
    xet.put_xorb: chunk(b"xet", 3) + chunk(lz4(b"xx"), 2, LZ4),
    xet.put_shard: SHARD,
    xet.put_shard_and_hear: SHARD,
}


@st.composite
def mutated(draw: st.DrawFn, expected: SearchStrategy[Any]) -> Any:
    """An expected value; or one with a part replaced or dropped, at any depth."""
    value = draw(expected)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(values)
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], *draw(st.sampled_from([[], [_changed(draw, value[at])]])), *value[at + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    rest = {name: item for name, item in value.items() if name != key}
    return {**rest, **draw(st.sampled_from([{}, {key: _changed(draw, value[key])}]))}


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """As it is, cut off, or with a few bytes replaced."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 20)))
    changed = content[:start] + draw(st.binary(max_size=20)) + content[end:]
    return draw(st.sampled_from([content, content[:start], changed]))


@st.composite
def requests_to(draw: st.DrawFn, route: Route, granted: Granted) -> Sent:
    def fill(place: re.Match[str]) -> str:
        if place[1] == "store" and draw(st.integers(0, 9)):
            return granted.xet_store
        slash = "/" if place[1] == "repo" or (place[1] == "path" and draw(st.booleans())) else ""
        return quote(draw(PLACES[place[1]]), safe=slash) or "x"

    prefix = draw(st.sampled_from(["", "datasets/"]))
    pattern = route.expression.pattern.replace("(?:(?P<kind>datasets)/)?", prefix).replace("\\.", ".")
    target = re.sub(r"\(\?P<(\w+)>[^)]*\)", fill, pattern)
    if route.handler is uploads.put_large and draw(st.booleans()):
        target = draw(st.sampled_from(granted.links))
    elif draw(st.booleans()):
        arguments = st.sampled_from(["1", "0", "true", "main", "all", "999999999"]) | texts
        target += "?" + urlencode(draw(st.dictionaries(st.sampled_from(ARGUMENTS), arguments, max_size=4)))
    headers = {"Authorization": f"Bearer {granted.xet_token if target.startswith('/xet/') else TOKEN}"}
    if draw(st.integers(0, 3)) == 0:
        headers |= draw(
            st.fixed_dictionaries({}, optional={name: st.sampled_from(odd) for name, odd in FIELDS.items()})
        )
    methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    return Sent(draw(mostly(st.sampled_from(route.methods), methods)), target, headers, draw(_bodies(route)))


def _bodies(route: Route) -> SearchStrategy[bytes]:
    if route.handler is uploads.commit:
        lines = mutated(commit_lines).map(lambda lines: lines if isinstance(lines, list) else [lines])
        expected = lines.map(lambda lines: b"\n".join(map(_json, lines)))
    elif route.handler is contents.paths_info:
        expected = form
    elif route.handler in BYTES:
        expected = damaged(BYTES[route.handler])
    else:
        expected = mutated(BODIES.get(route.handler, st.just({}))).map(_json)
    return mostly(expected, st.binary(max_size=40))


def _json(value: Any) -> bytes:
    """With escapes, so that half a character and NUL come across too."""
    return json.dumps(value).encode()
