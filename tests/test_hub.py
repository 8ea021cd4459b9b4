"""The one file that talks to the Hub, through the real client, against a running embedded Hub."""

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants
from rows import prompt

from pipelines.errors import PublishConflict, StageError
from pipelines.hub import Hub, connect, part
from pipelines.hub.repos import COMMIT_ATTEMPTS
from pipelines.records import Prompt

ROOT = Path(__file__).parent.parent
TOKEN = os.environ["HF_TOKEN"]


@pytest.fixture
def hub(hub_server: str) -> Hub:
    return connect(None)


@pytest.fixture
def repo(hub: Hub, name: str) -> str:
    """An empty data-set repo of the test's own."""
    hub.create(hub.repo(name), "dataset", private=False)
    return hub.repo(name)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which are only written down."""
    found = list[float]()
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def head(hub: Hub, repo: str) -> str:
    return hub.revision(repo, "dataset")


def history(hub: Hub, repo: str) -> list[str]:
    return [commit.title for commit in hub.api.list_repo_commits(repo, repo_type="dataset")]


class Broken:
    """Stands before HfApi.create_commit: lets the connection break, before or after the commit, as told."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch, *plan: str) -> None:
        self.real, self.plan, self.calls = hub.api.create_commit, list(plan), 0
        monkeypatch.setattr(hub.api, "create_commit", self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        step = self.plan.pop(0) if self.plan else "good"
        if step == "lost":
            raise httpx2.ConnectError("told to break before the commit")
        result = self.real(*args, **kwargs)
        if step == "answer-lost":
            raise httpx2.ReadError("told to break after the commit")
        return result


# --- commits


def test_rows_come_back_as_they_were_published(hub: Hub, repo: str) -> None:
    rows = [prompt(n) for n in range(3)]
    path, content = part("data", Prompt, rows, "ru")
    hub.publish(repo, "dataset", "rows", {path: content}, parent=head(hub, repo))
    snapshot = hub.snapshot(repo, "dataset")
    assert snapshot
    assert list(hub.rows(snapshot, Prompt)) == rows
    ((found, table),) = hub.columns(snapshot, [path], ["id", "no-such-column"])
    assert (found, table.to_pydict()) == (path, {"id": [row.id for row in rows]})


def test_only_the_languages_asked_for_are_read(hub: Hub, repo: str) -> None:
    files = dict(part("data", Prompt, [prompt(n, language)], language) for n, language in enumerate(("ru", "uk")))
    hub.publish(repo, "dataset", "rows", files)
    snapshot = hub.snapshot(repo, "dataset")
    assert snapshot
    assert [row.language for row in hub.rows(snapshot, Prompt, languages=["uk"])] == ["uk"]


def test_a_snapshot_stays_what_it_was_when_the_branch_moves(hub: Hub, repo: str) -> None:
    first, second = (dict([part("data", Prompt, [prompt(n)], "ru")]) for n in range(2))
    hub.publish(repo, "dataset", "first", first)
    before = hub.snapshot(repo, "dataset")
    assert before
    hub.publish(repo, "dataset", "second", second, delete=first)
    assert [row.id for row in hub.rows(before, Prompt)] == [prompt(0).id]
    assert head(hub, repo) != before.revision


def test_files_are_added_and_removed_in_one_commit(hub: Hub, repo: str) -> None:
    hub.publish(repo, "dataset", "first", {"a.txt": b"a"})
    commits = len(history(hub, repo))
    hub.publish(repo, "dataset", "second", {"b.txt": b"b"}, delete=["a.txt"])
    snapshot = hub.snapshot(repo, "dataset")
    assert snapshot
    assert {"b.txt"} == set(snapshot.files) - {".gitattributes"}
    assert len(history(hub, repo)) == commits + 1


def test_a_stale_parent_is_a_conflict_and_writes_nothing(hub: Hub, repo: str) -> None:
    stale = head(hub, repo)
    hub.publish(repo, "dataset", "somebody else", {"theirs.txt": b"1"}, parent=stale)
    moved = head(hub, repo)
    with pytest.raises(PublishConflict, match=f"{repo} changed while it was being written: run the stage again"):
        hub.publish(repo, "dataset", "ours", {"ours.txt": b"2"}, parent=stale)
    snapshot = hub.snapshot(repo, "dataset")
    assert snapshot
    assert snapshot.revision == moved
    assert "ours.txt" not in snapshot.files


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    parent, commits = head(hub, repo), len(history(hub, repo))
    broken = Broken(hub, monkeypatch, "answer-lost")
    revision = hub.publish(repo, "dataset", "once", {"a.txt": b"a"}, parent=parent)
    assert revision == head(hub, repo)
    assert (broken.calls, len(history(hub, repo))) == (1, commits + 1)


def test_a_commit_that_did_not_go_through_is_made_again(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    parent, commits = head(hub, repo), len(history(hub, repo))
    broken = Broken(hub, monkeypatch, "lost", "lost")
    assert hub.publish(repo, "dataset", "once", {"a.txt": b"a"}, parent=parent) == head(hub, repo)
    assert (broken.calls, len(history(hub, repo))) == (3, commits + 1)
    assert waited == [1, 2]


def test_our_own_commit_is_no_conflict_when_the_look_at_the_branch_failed_too(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    parent, commits = head(hub, repo), len(history(hub, repo))
    Broken(hub, monkeypatch, "answer-lost")
    real, looks = hub.api.list_repo_commits, list[int]()

    def look(*args: Any, **kwargs: Any) -> Any:
        looks.append(1)
        if len(looks) == 1:
            raise httpx2.ConnectError("the network is still down")
        return real(*args, **kwargs)

    monkeypatch.setattr(hub.api, "list_repo_commits", look)
    revision = hub.publish(repo, "dataset", "once", {"a.txt": b"a"}, parent=parent)
    monkeypatch.setattr(hub.api, "list_repo_commits", real)
    assert revision == head(hub, repo)
    assert len(history(hub, repo)) == commits + 1


def test_somebody_elses_commit_is_not_taken_for_ours(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    parent = head(hub, repo)
    hub.publish(repo, "dataset", "theirs", {"theirs.txt": b"1"}, parent=parent)
    Broken(hub, monkeypatch, "lost")
    with pytest.raises(PublishConflict):
        hub.publish(repo, "dataset", "ours", {"ours.txt": b"2"}, parent=parent)


def test_a_hub_that_stays_away_is_one_line_after_all_attempts(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    broken = Broken(hub, monkeypatch, *["lost"] * 99)
    with pytest.raises(StageError, match="run the stage again") as caught:
        hub.publish(repo, "dataset", "never", {"a.txt": b"a"}, parent=head(hub, repo))
    assert broken.calls == COMMIT_ATTEMPTS
    assert_one_line(caught.value)


def test_a_refused_commit_is_one_line_and_not_tried_again(hub: Hub, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(hub, monkeypatch)
    with pytest.raises(StageError, match="the Hub refused the commit: 404") as caught:
        hub.publish(hub.repo(f"{name}-missing"), "dataset", "never", {"a.txt": b"a"})
    assert broken.calls == 1
    assert_one_line(caught.value)


# --- what is not there


def test_a_repo_that_is_not_there_has_no_snapshot(hub: Hub, name: str) -> None:
    assert hub.snapshot(hub.repo(f"{name}-missing"), "dataset") is None


def test_a_stage_that_did_not_run_is_named(hub: Hub, name: str) -> None:
    with pytest.raises(StageError, match="run prompts first"):
        hub.need(hub.repo(f"{name}-missing"), "dataset", "prompts")


def test_a_repo_without_the_facts_of_the_stage_is_no_input(hub: Hub, repo: str) -> None:
    with pytest.raises(StageError, match="run prompts first"):
        hub.need(repo, "dataset", "prompts")


@pytest.mark.parametrize("model", ["nobody/no-such-model", "no-namespace-either", "a/b/c", "not a name!"])
def test_a_wrong_model_id_is_one_line_that_names_it(hub: Hub, model: str) -> None:
    with pytest.raises(StageError) as caught:
        hub.revision(model, "model")
    assert model in str(caught.value)
    assert_one_line(caught.value)


def test_a_missing_revision_is_one_line_that_names_it(hub: Hub, repo: str) -> None:
    with pytest.raises(StageError, match="v9") as caught:
        hub.revision(repo, "dataset", "v9")
    assert_one_line(caught.value)


def test_a_missing_file_is_one_line_that_names_it(hub: Hub, repo: str) -> None:
    with pytest.raises(StageError, match=r"no file weights\.gguf") as caught:
        hub.file(repo, "dataset", head(hub, repo), "weights.gguf")
    assert_one_line(caught.value)


# --- the connection


def test_a_missing_token_is_one_line(hub_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StageError, match="set HF_TOKEN") as caught:
        connect(None)
    assert_one_line(caught.value)


def test_a_wrong_token_is_one_line_that_does_not_hold_it(hub_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not_the_right_one")
    with pytest.raises(StageError, match="HF_TOKEN") as caught:
        connect(None)
    assert_one_line(caught.value, "hf_not_the_right_one")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "127.0.0.1:1", "http://no-such-host.invalid", "http://"])
def test_an_unreachable_endpoint_is_one_line_that_names_it(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(StageError, match="HF_ENDPOINT") as caught:
        connect(None)
    assert endpoint in str(caught.value)
    assert_one_line(caught.value)


@pytest.fixture
def rubbish() -> Iterator[str]:
    """A web server that is no Hub: a page for whatever it is asked."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_endpoint_that_is_no_hub_is_one_line(rubbish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", rubbish)
    with pytest.raises(StageError, match="HF_ENDPOINT") as caught:
        connect(None)
    assert_one_line(caught.value)


def test_a_hub_that_goes_away_is_not_a_missing_file(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    hub.publish(repo, "dataset", "a file", {"a.txt": b"a"})
    revision = head(hub, repo)
    monkeypatch.setattr(hub.api, "endpoint", "http://127.0.0.1:1")
    with pytest.raises(StageError, match="no Hub answers") as caught:
        hub.file(repo, "dataset", revision, "a.txt")
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_TOKEN": ""}, "set HF_TOKEN"),
        ({"HF_TOKEN": "hf_not_the_right_one"}, "HF_TOKEN"),
        ({"HF_ENDPOINT": "http://127.0.0.1:1"}, "HF_ENDPOINT"),
    ],
)
def test_the_command_line_says_it_in_one_line_and_exits_1(hub_server: str, changed: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "pipelines", "prompts", "demo"]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **changed}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "hf_not_the_right_one" not in ended.stderr + ended.stdout


def assert_one_line(error: StageError, secret: str = TOKEN) -> None:
    assert "\n" not in str(error)
    assert secret not in str(error)


def test_the_cache_of_the_tests_is_not_the_users() -> None:
    assert Path(constants.HF_HOME) == Path(os.environ["HF_HOME"])
