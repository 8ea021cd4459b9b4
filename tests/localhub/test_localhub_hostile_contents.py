"""What is committed by a stranger and then read by us or shown in a browser: cards, patterns, tables, files."""

import io
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from localhub_server import Server

from pipelines.localhub import cards
from pipelines.localhub.errors import BadRequestError, InvalidCardError
from pipelines.localhub.pages import markdown, preview
from pipelines.localhub.store import patterns

NewRepo = Callable[..., str]
XSS = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
CARD = r"""
<script>alert(1)</script> <style>*{display:none}</style> <base href=//evil.example> <b onmouseover=alert(1)>b</b>
<meta http-equiv=refresh content=0> <iframe srcdoc="<script>alert(1)</script>"></iframe> <form action=//evil.example>
<svg onload=alert(1)><animate onbegin=alert(1)></svg> <math href="javascript:alert(1)">x</math> <input name=q>
[1](javascript:alert(1)) [2](JaVaScRiPt:alert(1)) [3](java&#115;cript:alert(1)) [4](&#x6A;avascript:alert(1))
[5](data:text/html;base64,PHNjcmlwdD4=) [6](vbscript:x) [7](file:///etc/passwd) [8](<java&#9;script:alert(1)>)
[9](&#1;javascript:alert(1)) [10](data:image/svg+xml,<svg onload=alert(1)>) [11][ref] [12](x "onclick=alert(1)")
![i](javascript:alert(1)) ![i](data:image/svg+xml;base64,PHN2Zz4=) ![" onerror="alert(1)](x.png)
![i](x.png "\" onload=\"x") <javascript:alert(1)> <https://example.org/"onmouseover="alert(1)> &lt;script&gt;

[ref]: javascript:alert(1) "x"

```html" onclick="alert(1)
<script>
```

| <script>alert(1)</script> | b |
|:-------------------------:|---|
| <img src=x onerror=alert(1)> | [x](javascript:alert(1)) |
"""
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "body",
        "header",
        "main",
        "div",
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "span",
        "nav",
        "ul",
        "li",
    ),
    *(
        "article",
        "section",
        "small",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "pre",
        "img",
        "details",
        "summary",
    ),
}
ATTRIBUTES = {"href", "src", "alt", "title", "class", "id", "rel", "lang", "charset", "name", "content", "dir", "open"}
NEVER_RUN = ("text/plain", "application/octet-stream", "application/json", "application/pdf")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One, and not one for each way of the clients to upload, which does not matter here."""
    running = Server(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


class Seen(HTMLParser):
    """The elements, attributes and addresses of a page, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.schemes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.schemes |= {urlsplit(value or "").scheme for name, value in attrs if name in ("href", "src")}


def add(api: HfApi, repo: str, files: dict[str, bytes], title: str = "x", kind: str = "model") -> None:
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(repo, operations, commit_message=title, repo_type=kind)


def parquet(columns: dict[str, Any], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **how)
    return sink.getvalue()


def test_nothing_a_stranger_wrote_becomes_markup_of_a_page(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(repo_type="dataset")
    front = f"tags: ['{XSS}']\nconfigs:\n- {{config_name: '{XSS}', data_files: '*'}}\n"
    files = {
        "README.md": f"---\n{front}---\n{CARD}".encode(),
        f"{XSS.replace('/', '')}.txt": b"",
        "x.parquet": parquet({XSS: [XSS, XSS], "nested": [[{"a": XSS}], []]}),
    }
    add(server.api, repo, files, XSS, "dataset")
    with server.http(None) as http:
        pages = [http.get(f"/datasets/{repo}"), http.get("/"), http.get(f"/datasets/{repo}/tree/main")]
    assert "&lt;script&gt;" in pages[0].text
    assert "nested" in pages[0].text
    for page in pages:
        seen = Seen(page.text)
        assert seen.tags <= TAGS
        assert seen.attributes <= ATTRIBUTES
        assert seen.schemes <= {"", "https", "data"}
        policy = dict(rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; "))
        assert (
            policy["default-src"]
            == policy["base-uri"]
            == policy["form-action"]
            == policy["frame-ancestors"]
            == "'none'"
        )
        assert policy["style-src"] == "'self'"
        assert "script-src" not in policy
    addresses = [part.split('"', 1)[0] for part in pages[0].text.split('src="data:')[1:]]
    assert not [address for address in addresses if "svg" in address]


@pytest.mark.parametrize("end", ["html", "Htm", "xhtml", "svg", "xml", "js", "mjs", "pdf", "swf", "css", "wasm", "txt"])
def test_a_browser_never_executes_a_file(server: Server, new_repo: NewRepo, end: str) -> None:
    repo = new_repo()
    name = f"data:text/html,x.{end}" if end == "txt" else f"x.{end}"
    add(server.api, repo, {name: b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"})
    with server.http(None) as http:
        headers = http.get("/", extensions={"target": f"/{repo}/resolve/main/{name}".encode()}).headers
    kind = headers["Content-Type"].partition(";")[0]
    assert kind.startswith("image/") or kind in NEVER_RUN
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Content-Security-Policy"].endswith("sandbox")


NINE = range(1, 10)
BOMBS = {
    "lists of lists": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in NINE),
    "one long text, many times": f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 1000}]",
    "mappings merged": "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 9}]}}\n" for n in NINE),
    "pairs": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} !!pairs [{f'k: *a{n - 1}, ' * 9}]\n" for n in NINE),
    "sets": "a: !!set {b, c}",
    "a circle": "a: &a {b: *a}",
    "depth": "[" * 100_000,
    "depth in blocks": "- " * 100_000,
    "length": "a: " + "x" * 300_000,
    "digits": f"a: 1{'0' * 100_000}",
    "base sixty": f"a: 1{':59' * 500}.5",
    "a day that never was": "a: 2020-02-30",
    "no truth": "a: !!bool x",
    "no number": "a: !!int ''",
    "no date": "a: !!timestamp x",
    "an object": "a: !!python/object/apply:os.system [x]",
    "bytes": "a: !!binary aGVsbG8=",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_metadata_that_would_explode_is_refused(text: str) -> None:
    with pytest.raises(InvalidCardError) as refused:
        cards.check(f"---\n{text}\n---\n")
    assert len(refused.value.message) < 1000


def test_metadata_may_say_a_thing_once_and_mean_it_twice() -> None:
    """PyYAML itself writes aliases, when a list stands in two places."""
    assert cards.check("---\na: &x [1, 2]\nb: *x\n---\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("text", ["![" * 500_000, "*a _b " * 200_000, "> " * 500_000])
def test_a_card_of_any_length_has_a_page(text: str) -> None:
    assert "too long to be shown" in markdown.render(text, "/base/")


def test_patterns_of_many_stars_are_answered() -> None:
    """As one expression each would be tried for longer than anyone lives."""
    path = "/".join(["a" * 20] * 40)
    assert not patterns.is_ignored("/".join(["**"] * 50) + "/b", path)
    assert not patterns.is_ignored("/" + "*a" * 40 + "b", "a" * 250)
    assert patterns.is_ignored("**/*a*a*a*a*/**/a*/**", path)
    assert patterns.is_ignored("a/**/b", "a/b")
    assert not patterns.is_ignored("a/*/b", "a/b")
    with pytest.raises(BadRequestError, match="more than"):
        patterns.is_large("x\n" * 3000, "a")


def test_a_hostile_table_costs_its_preview_and_nothing_else(server: Server, new_repo: NewRepo) -> None:
    """Small files that unpack to gigabytes, nest without end, have a broken end, or a thousand columns."""
    repo = new_repo(repo_type="dataset")
    value = pa.array(["x" * (100 << 20)]).dictionary_encode()
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), value.dictionary)
    deep = pa.int8()
    for _ in range(500):
        deep = pa.list_(deep)
    good = parquet({"text": ["shown"]})
    tables = {
        "bomb": parquet({"a": bomb}, compression="zstd"),
        "deep": parquet({"a": pa.array([None], deep)}),
        "torn": good[:-40] + b"\xff" * 32 + good[-8:],
        "lying": good[:-8] + b"\xff\xff\xff\x7f" + b"PAR1",
        "wide": parquet({f"c{number}": [number] for number in range(1000)}),
        "good": good,
    }
    assert all(len(table) < 1 << 20 for table in tables.values())
    configs = "".join(f"- {{config_name: {name}, data_files: {name}.parquet}}\n" for name in tables)
    files = {f"{name}.parquet": content for name, content in tables.items()}
    add(server.api, repo, {"README.md": f"---\nconfigs:\n{configs}---\n".encode(), **files}, kind="dataset")
    with server.http(None) as http:
        page = http.get(f"/datasets/{repo}").text
    assert page.count("No preview") == 4
    assert '<td dir="auto">shown</td>' in page
    assert "<th>c49</th>" in page
    assert "<th>c50</th>" not in page


def test_tables_that_take_too_long_are_named_and_the_page_still_comes(
    server: Server, new_repo: NewRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = new_repo(repo_type="dataset")
    add(server.api, repo, {"x.parquet": parquet({"a": [1]})}, kind="dataset")
    (file,) = [
        path for path in (server.data / "lfs").rglob("*") if path.is_file() and path.read_bytes()[:4] == b"PAR1"
    ][:1]
    monkeypatch.setattr(preview, "SECONDS", 0.0)
    assert preview._read((file, file)) == [{"total": 0, "problem": "reading it takes too much memory or time"}] * 2
    with preview._READING, pytest.raises(TimeoutError):
        preview._read((file,))


def test_what_is_longer_than_anyone_needs_is_refused(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    long = "x" * 100_001
    header = b'{"key": "header", "value": {"summary": "x"}}\n'
    server.api.create_discussion(repo, "A question")
    with server.http() as http:
        for method, address, body in (
            ("POST", f"/api/models/{repo}/discussions", {"title": "long", "description": long}),
            ("POST", f"/api/models/{repo}/discussions", {"title": long}),
            ("POST", f"/api/models/{repo}/discussions/1/comment", {"comment": long}),
            ("POST", f"/api/models/{repo}/discussions/1/status", {"status": "closed", "comment": long}),
            ("POST", f"/api/models/{repo}/tag/main", {"tag": "v1", "message": long}),
            ("POST", f"/api/models/{repo}/super-squash/main", {"message": long}),
            ("POST", f"/api/models/{repo}/preupload/main", {"files": [{"path": "a", "size": 1}] * 257}),
            ("POST", f"/api/models/{repo}/preupload/main", {"files": [{"path": "a", "size": 1 << 51}]}),
            ("POST", f"/api/models/{repo}/preupload/main", {"files": [], "gitIgnore": long}),
            ("POST", f"/{repo}.git/info/lfs/objects/batch", {"operation": "upload", "objects": [{}] * 1001}),
            ("POST", f"/api/models/{repo}/branch/b", {"startingPoint": [[[]]] * 1000}),
        ):
            answer = http.request(method, address, json=body)
            assert answer.status_code == 400, address
            assert len(answer.content) < 1000
        for query in ("limit=1e9", "limit=-1", f"cursor={'9' * 10}", "skip=0x10", f"limit={long[:9000]}"):
            assert http.get(f"/api/models/{repo}/tree/main?cursor=x&{query}").status_code == 400
            assert http.get(f"/api/models?{query.replace('cursor', 'limit')}").status_code == 400
        assert http.post("/api/validate-yaml", content=b"[" * (1 << 20)).status_code == 400
        assert http.post(f"/api/models/{repo}/paths-info/main", content="paths=a&" * 10_001).status_code == 400
        many = http.post(f"/api/models/{repo}/commit/main", content=header + b"\n" * 100_001)
        assert (many.status_code, "several commits" in many.text) == (413, True)
        long_header = http.post(
            f"/api/models/{repo}/commit/main", content=header.replace(b'"x"', b'"%s"' % long.encode())
        )
        assert long_header.status_code == 400
