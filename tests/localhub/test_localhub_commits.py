"""Commits, branches, trees: what a repo's history promises."""

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
)
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RevisionNotFoundError
from localhub_server import Server

NewRepo = Callable[..., str]
pytestmark = [pytest.mark.any_hub, pytest.mark.each_transfer]


def add(path: str, content: bytes = b"content") -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def paths(api: HfApi, repo: str, revision: str | None = None) -> set[str]:
    return set(api.list_repo_files(repo, revision=revision)) - {".gitattributes"}


def test_one_commit_adds_copies_and_deletes(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    api.create_commit(repo, [add("a.txt"), add("w.bin"), add("old/1.txt"), add("old/2/3.txt")], commit_message="one")
    made = api.create_commit(
        repo,
        [
            add("b/c.txt", b"new"),
            CommitOperationCopy("w.bin", "copy/w.bin"),
            CommitOperationCopy("a.txt", "copy/a.txt"),
            CommitOperationDelete("a.txt"),
            CommitOperationDelete("old/"),
        ],
        commit_message="two",
        commit_description="details",
    )
    assert paths(api, repo) == {"w.bin", "b/c.txt", "copy/w.bin", "copy/a.txt"}
    newest = api.list_repo_commits(repo)[0]
    assert (newest.commit_id, newest.title, newest.message) == (made.oid, "two", "details")


def test_a_stale_parent_is_refused_and_changes_nothing(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    old = api.model_info(repo).sha
    head = api.create_commit(repo, [add("a.txt")], commit_message="first", parent_commit=old).oid
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_commit(repo, [add("b.txt")], commit_message="second", parent_commit=old)
    assert refused.value.response.status_code == 412
    assert api.model_info(repo).sha == head


def test_of_eight_threads_with_one_parent_exactly_one_wins(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    parent = api.model_info(repo).sha

    def race(number: int) -> int:
        try:
            api.create_commit(repo, [add(f"{number}.txt")], commit_message=str(number), parent_commit=parent)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(race, range(8))) == [200] + [412] * 7
    assert len(paths(api, repo)) == 1


@pytest.mark.embedded_only("of two commits at once one may be refused there (409)")
def test_commits_without_a_parent_from_eight_threads_all_land(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()

    def work(number: int) -> None:
        for turn in range(5):
            api.create_commit(repo, [add(f"{number}/{turn}.txt")], commit_message=f"{number} {turn}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(paths(api, repo)) == 40
    assert len(api.list_repo_commits(repo)) == 41


def test_a_failing_operation_undoes_those_before_it(server: Server, api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    head = api.model_info(repo).sha
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        api.create_commit(repo, [add("a.txt"), CommitOperationDelete("missing.txt")], commit_message="bad")
    assert api.model_info(repo).sha == head


def test_a_commit_to_a_missing_branch_is_refused(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x", revision="missing")
    api.create_tag(repo, tag="v1")
    with pytest.raises(HfHubHTTPError):
        api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x", revision="v1")


@pytest.mark.embedded_only("the words of the refusal are ours")
def test_content_never_uploaded_cannot_be_committed(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    lines = (
        '{"key": "header", "value": {"summary": "x"}}\n'
        '{"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "' + "0" * 64 + '", "size": 1}}\n'
    )
    with server.http() as http:
        answer = http.post(f"/api/models/{repo}/commit/main", content=lines)
    assert answer.status_code == 400
    assert "never uploaded" in answer.headers["X-Error-Message"]


@pytest.mark.embedded_only("it attacks the server")
@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/x", "a//x", "./x", "a/", "", ".git/config", "a\\..\\x", "a\x00b", "a\nb"]
)
def test_a_path_that_leaves_the_repo_is_refused(server: Server, new_repo: NewRepo, path: str) -> None:
    repo = new_repo()
    with server.http() as http:
        header = {"key": "header", "value": {"summary": "x"}}
        line = {"key": "file", "value": {"path": path, "content": "", "encoding": "base64"}}
        body = "\n".join(map(json.dumps, (header, line)))
        assert http.post(f"/api/models/{repo}/commit/main", content=body).status_code == 400


@pytest.mark.embedded_only("it attacks the server")
def test_addresses_with_dots_reach_no_file_of_the_host(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    with server.http() as http:
        for address in (
            f"/{repo}/resolve/main/..%2f..%2f..%2fhub.sqlite",
            f"/{repo}/resolve/main/%2e%2e/%2e%2e/hub.sqlite",
            f"/{repo}/resolve/..%2f..%2fhub.sqlite/x",
            "/..%2f..%2fetc/passwd",
            f"/api/models/{repo}/tree/main/..%2f..",
            "/lfs/..%2f..%2fhub.sqlite",
        ):
            assert http.get(address).status_code in (401, 404)


def test_branches_with_slashes_and_tags_name_their_commits(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    first = api.upload_file(repo_id=repo, path_or_fileobj=b"1", path_in_repo="a.txt").oid
    api.create_branch(repo, branch="feature/one")
    api.create_tag(repo, tag="v1.0", revision="feature/one")
    second = api.upload_file(repo_id=repo, path_or_fileobj=b"2", path_in_repo="a.txt", revision="feature/one").oid
    assert api.model_info(repo, revision="v1.0").sha == first
    assert api.model_info(repo, revision="feature/one").sha == second
    assert api.model_info(repo, revision=second[:10]).sha == second
    refs = api.list_repo_refs(repo)
    assert {branch.name: branch.target_commit for branch in refs.branches} == {"feature/one": second, "main": first}
    assert [tag.name for tag in refs.tags] == ["v1.0"]
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_branch(repo, branch="feature/one")
    assert refused.value.response.status_code == 409
    api.create_branch(repo, branch="feature/one", exist_ok=True)
    api.create_tag(repo, tag="v1.0", exist_ok=True)
    api.delete_branch(repo, branch="feature/one")
    api.delete_tag(repo, tag="v1.0")
    assert not api.revision_exists(repo, "feature/one")
    with pytest.raises(HfHubHTTPError, match="main"):
        api.delete_branch(repo, branch="main")
    with pytest.raises(HfHubHTTPError, match="Invalid reference"):
        api.create_branch(repo, branch=first, revision=second)


def test_a_tree_of_many_files_comes_in_pages_and_whole(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    names = {f"d{number % 7}/{number:04}.txt" for number in range(1500)}
    api.create_commit(repo, [add(name, name.encode()) for name in sorted(names)], commit_message="many")
    assert paths(api, repo) == names
    top = {entry.path for entry in api.list_repo_tree(repo)}
    assert top == {".gitattributes", *(f"d{number}" for number in range(7))}
    below = list(api.list_repo_tree(repo, "d3", expand=True))
    assert len(below) == 214
    assert {entry.last_commit.title for entry in below if entry.last_commit} == {"many"}
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(repo, "missing"))


def test_expanded_entries_name_the_commit_that_last_changed_them(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    api.create_commit(repo, [add("a/1.txt"), add("b/1.txt")], commit_message="both")
    api.create_commit(repo, [add("a/1.txt", b"changed")], commit_message="only a")
    api.create_commit(repo, [add("c.txt")], commit_message="elsewhere")
    found = api.get_paths_info(repo, ["a", "a/1.txt", "b/1.txt", "missing"], expand=True)
    assert {entry.path: entry.last_commit and entry.last_commit.title for entry in found} == {
        "a": "only a",
        "a/1.txt": "only a",
        "b/1.txt": "both",
    }


@pytest.mark.embedded_only("so many commits meet a rate limit there")
def test_long_histories_come_in_pages(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    for number in range(120):
        api.create_commit(repo, [add("n.txt", str(number).encode())], commit_message=str(number))
    titles = [commit.title for commit in api.list_repo_commits(repo, formatted=True)]
    assert titles == [*map(str, reversed(range(120))), "initial commit"]


def test_super_squash_leaves_the_files_and_one_commit(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    for number in range(3):
        api.create_commit(repo, [add(f"{number}.txt")], commit_message=str(number))
    api.super_squash_history(repo, commit_message="squashed")
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["squashed"]
    assert paths(api, repo) == {"0.txt", "1.txt", "2.txt"}


def test_a_pull_request_is_made_committed_to_and_merged(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    made = api.create_commit(repo, [add("a.txt")], commit_message="propose", create_pr=True)
    assert made.pr_num == 1
    assert paths(api, repo) == set()
    api.upload_file(repo_id=repo, path_or_fileobj=b"b", path_in_repo="b.txt", revision="refs/pr/1")
    api.upload_file(repo_id=repo, path_or_fileobj=b"m", path_in_repo="main.txt")
    api.comment_discussion(repo, 1, "looks good")
    api.merge_pull_request(repo, 1)
    assert paths(api, repo) == {"a.txt", "b.txt", "main.txt"}
    details = api.get_discussion_details(repo, 1)
    assert details.status == "merged"
    assert details.merge_commit_oid == api.model_info(repo).sha
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests or ()] == ["refs/pr/1"]


@pytest.mark.embedded_only("the words of the refusal are ours")
def test_a_pull_request_in_conflict_is_not_merged(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    opened = api.create_pull_request(repo, "A change")
    assert opened.status == "draft"
    ref = opened.git_reference
    api.upload_file(repo_id=repo, path_or_fileobj=b"theirs", path_in_repo="a.txt", revision=ref)
    head = api.upload_file(repo_id=repo, path_or_fileobj=b"ours", path_in_repo="a.txt").oid
    with pytest.raises(HfHubHTTPError, match="both sides changed"):
        api.merge_pull_request(repo, opened.num)
    assert api.model_info(repo).sha == head
    api.change_discussion_status(repo, opened.num, "closed")
    assert [(it.num, it.status) for it in api.get_repo_discussions(repo)] == [(opened.num, "closed")]


def test_a_folder_upload_obeys_patterns_deletes_and_skips_what_has_not_changed(
    api: HfApi, new_repo: NewRepo, tmp_path: Path
) -> None:
    repo = new_repo()
    for name in ("a.txt", "b.log", "sub/c.txt", "sub/d.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    head = api.upload_folder(repo_id=repo, folder_path=tmp_path, ignore_patterns="*.log").oid
    assert paths(api, repo) == {"a.txt", "sub/c.txt", "sub/d.bin"}
    assert api.upload_folder(repo_id=repo, folder_path=tmp_path, ignore_patterns="*.log").oid == head
    (tmp_path / "a.txt").unlink()
    (tmp_path / ".gitignore").write_text("*.log\nsub/\n")
    api.upload_folder(repo_id=repo, folder_path=tmp_path, delete_patterns="*.txt")
    # b.log is ignored by the committed .gitignore, c.txt still exists beside us: only a.txt goes.
    assert paths(api, repo) == {".gitignore", "sub/c.txt", "sub/d.bin"}


def test_ids_are_those_git_would_give(api: HfApi, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    files = {"top/a.txt": b"a", "top/a/b.txt": b"b", "top/a-b/c.txt": b"c", "top/я.txt": b"", "top/ab": b"d"}
    api.create_commit(repo, [add(path, content) for path, content in files.items()], commit_message="x")
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", ".")
    (folder,) = api.get_paths_info(repo, "top")
    assert folder.tree_id == git("rev-parse", git("write-tree").strip() + ":top").strip()  # type: ignore[union-attr]
