"""What a browser sees, and what a card by a stranger cannot do to it."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, HfApi
from localhub_server import Server

from pipelines.localhub.pages.markdown import render

NewRepo = Callable[..., str]
CARD = """---
language: [ru]
configs:
- config_name: ru
  data_files:
  - {split: train, path: ru/train-*}
- config_name: broken
  data_files: broken/*
---
# Цепочки <script>alert(1)</script>

| a | b |
|---|--:|
| 1 | 2 |

![plot](plots/loss.png) [file](./data.txt) [out](https://example.org) [bad](javascript:alert(1))
<img src=x onerror=alert(1)>
"""


def parquet(columns: dict[str, list[Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_the_page_of_a_data_set_shows_card_rows_files_and_commits(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(repo_type="dataset")
    rows = {"id": list(range(50)), "text": ["<b>жирный</b>"] * 50, "chat": [[{"role": "user"}]] * 50}
    add(server.api, repo, {
        "README.md": CARD.encode(),
        "ru/train-0.parquet": parquet({**rows, "long": ["я" * 5000] * 50}),
        "broken/x.parquet": b"no parquet",
    })  # fmt: skip
    with server.http(token=None) as http:
        answer = http.get(f"/datasets/{repo}")
        listing = http.get("/").text
        assert http.get("/style.css").headers["Content-Type"].startswith("text/css")
    page = answer.text
    assert f"/datasets/{repo}" in listing
    assert "Цепочки" in page
    assert "config_name" not in page
    assert "<th>a</th>" in page
    assert '<td class="right">2</td>' in page
    assert f'src="/datasets/{repo}/resolve/main/plots/loss.png"' in page
    assert f'href="/datasets/{repo}/resolve/main/data.txt"' in page
    assert "50 rows" in page
    assert "&lt;b&gt;жирный&lt;/b&gt;" in page
    assert "[{&#34;role&#34;: &#34;user&#34;}]" in page
    assert page.count("<tr>") < 60
    assert "я" * 400 not in page
    assert "No preview" in page
    assert "commit these" in page
    for danger in ("<script", "<img src=x", 'href="javascript:', "<b>жирный"):
        assert danger not in page
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_page_can_be_seen_at_a_commit_and_without_a_card(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    old = server.api.model_info(repo).sha
    add(server.api, repo, {"README.md": b"# Now there is one"})
    with server.http(token=None) as http:
        assert "Now there is one" in http.get(f"/{repo}").text
        assert "No card" in http.get(f"/{repo}/commit/{old}").text
        assert http.get(f"/{repo}/tree/missing").status_code == 404
        assert http.get("/nobody/nothing").status_code == 401
        assert http.get("/nowhere").status_code == 404


def add(api: HfApi, repo: str, files: dict[str, bytes]) -> None:
    repo_type = "dataset" if api.repo_exists(repo, repo_type="dataset") else "model"
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(repo, operations, commit_message="commit these", repo_type=repo_type)


def test_a_comment_of_a_card_is_not_shown_unless_it_stands_in_code() -> None:
    hidden = "<!-- yours: notes -->\n<!-- end of: notes -->"
    assert render(f"before\n\n{hidden}\n\nafter", "/") == "<p>before</p>\n<p>after</p>\n"
    assert "yours: notes" in render(f"```\n{hidden}\n```", "/")
    assert "<script>" not in render("<!-- a --><script>alert(1)</script><!-- b -->", "/")
