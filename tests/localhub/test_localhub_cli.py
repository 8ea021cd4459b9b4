"""The `hf` command, as typed in a shell that knows the Hub by its environment alone."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from localhub_server import Server

NewRepo = Callable[..., str]
NewName = Callable[[], str]
Hf = Callable[..., Any]
pytestmark = pytest.mark.any_hub


@pytest.fixture
def hf(environment: Mapping[str, str], tmp_path: Path) -> Hf:
    """Runs `hf`: its JSON output, or with `fails` what it complains of."""
    command = Path(sys.executable).with_name("hf")

    def run(line: str, fails: bool = False) -> Any:
        arguments = [command, *line.split(), "--format", "json"]
        done = subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode != 0) == fails, done.stderr[-4000:]
        return done.stderr if fails else json.loads(done.stdout or "null")

    return run


def files(api: HfApi, repo: str, revision: str | None = None, repo_type: str = "model") -> set[str]:
    return set(api.list_repo_files(repo, revision=revision, repo_type=repo_type)) - {".gitattributes"}


def test_the_shell_knows_who_it_is(server: Server, hf: Hf) -> None:
    assert hf("auth whoami")["user"] == server.user


def test_repos_are_created_changed_listed_moved_and_deleted(api: HfApi, hf: Hf, new_name: NewName) -> None:
    name, moved = new_name(), new_name()
    assert hf(f"repos create {name} --type dataset --private")["repo_id"] == name
    assert "409" in hf(f"repos create {name} --type dataset", fails=True)
    hf(f"repos create {name} --type dataset --exist-ok")
    assert api.dataset_info(name).private
    assert name in {repo["id"] for repo in hf("repos list --type dataset --limit 1000")}
    hf(f"repos move {name} {moved} --type dataset")
    assert api.repo_exists(moved, repo_type="dataset")
    hf(f"repos delete {moved} --type dataset --yes")
    assert not api.repo_exists(moved, repo_type="dataset")
    assert "not found" in hf(f"repos delete {moved} --type dataset --yes", fails=True)
    hf(f"repos delete {moved} --type dataset --yes --missing-ok")


@pytest.mark.embedded_only("it makes a repo public")
def test_settings_are_changed(api: HfApi, hf: Hf, new_repo: NewRepo) -> None:
    repo = new_repo()
    hf(f"repos settings {repo} --private")
    assert api.model_info(repo).private
    hf(f"repos settings {repo} --public --gated manual")
    assert api.model_info(repo).gated == "manual"


def test_branches_and_tags_come_and_go(api: HfApi, hf: Hf, new_repo: NewRepo) -> None:
    repo = new_repo()
    hf(f"repos branch create {repo} dev/one")
    hf(f"repos tag create {repo} v1 --revision dev/one -m first")
    assert [tag["name"] for tag in hf(f"repos tag list {repo}")] == ["v1"]
    assert api.revision_exists(repo, "dev/one")
    hf(f"repos branch delete {repo} dev/one")
    hf(f"repos tag delete {repo} v1 --yes")
    assert not api.revision_exists(repo, "dev/one")
    assert not api.revision_exists(repo, "v1")


def test_folders_and_files_go_up_and_are_removed(api: HfApi, hf: Hf, new_name: NewName, tmp_path: Path) -> None:
    repo = new_name()
    for path in ("up/a.txt", "up/b.log", "up/sub/c.bin"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    hf(f"upload {repo} up . --exclude *.log --private")  # and makes the repo
    assert files(api, repo) == {"a.txt", "sub/c.bin"}
    hf(f"upload {repo} up/b.log logs/b.log --commit-message one-file")
    assert api.list_repo_commits(repo)[0].title == "one-file"
    (tmp_path / "up/a.txt").write_text("changed")
    hf(f"upload {repo} up . --include *.txt --delete logs/* --create-pr")
    assert "logs/b.log" in files(api, repo)
    assert files(api, repo, "refs/pr/1") == {"a.txt", "sub/c.bin"}
    hf(f"repos delete-files {repo} *.log sub/")
    assert files(api, repo) == {"a.txt"}


def test_files_are_copied_in_out_and_across(api: HfApi, hf: Hf, new_repo: NewRepo, tmp_path: Path) -> None:
    one, other = new_repo(), new_repo(repo_type="dataset")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "w.bin").write_text("large")
    hf(f"cp a.txt hf://{one}/in/")
    hf(f"cp w.bin hf://{one}/w.bin")
    hf(f"cp hf://{one}/w.bin hf://{one}/copy/w.bin")
    hf(f"cp hf://{one}/in/a.txt hf://datasets/{other}/a.txt")
    hf(f"cp hf://{one}/copy/w.bin back.bin")
    assert files(api, one) == {"in/a.txt", "w.bin", "copy/w.bin"}
    assert files(api, other, repo_type="dataset") == {"a.txt"}
    assert (tmp_path / "back.bin").read_text() == "large"


def test_what_is_downloaded_is_verified(api: HfApi, hf: Hf, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    for path in ("a.txt", "sub/c.bin"):
        api.upload_file(repo_id=repo, path_or_fileobj=path.encode(), path_in_repo=path)
    old = api.list_repo_commits(repo)[1].commit_id
    snapshot = Path(hf(f"download {repo}")["path"])
    assert (snapshot / "sub/c.bin").read_text() == "sub/c.bin"
    assert hf(f"cache verify {repo}")["checked"] == 3
    assert [entry["id"] for entry in hf("cache list")] == [f"model/{repo}"]
    hf(f"download {repo} --revision {old} --local-dir part --include *.txt")
    assert (tmp_path / "part/a.txt").read_text() == "a.txt"
    hf(f"download {repo} sub/c.bin --local-dir whole")
    assert not (tmp_path / "whole/a.txt").exists()
    (tmp_path / "whole/sub/c.bin").write_text("SUB/c.bin")
    assert "Verification failed" in hf(f"cache verify {repo} --local-dir whole", fails=True)
    assert "not found" in hf(f"download {repo} none.txt", fails=True)
    assert "not found" in hf(f"download {repo} --revision none", fails=True)


def test_models_and_data_sets_are_described(server: Server, api: HfApi, hf: Hf, new_repo: NewRepo) -> None:
    model, dataset = new_repo(), new_repo(repo_type="dataset")
    api.upload_file(repo_id=model, path_or_fileobj=b"---\nlanguage: ru\n---\n# Tiny\n", path_in_repo="README.md")
    assert hf(f"models info {model}")["id"] == model
    assert hf(f"datasets info {dataset}")["id"] == dataset
    assert model in {repo["id"] for repo in hf(f"models list --author {server.user} --filter ru --limit 1000")}
    assert {entry["path"] for entry in hf(f"models list {model} -R")} == {".gitattributes", "README.md"}
    assert hf(f"models card {model} --metadata") == {"language": "ru"}


def test_a_pull_request_is_opened_discussed_and_merged(api: HfApi, hf: Hf, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    assert hf(f"discussions create {repo} --title Proposal --pull-request")["num"] == 1
    (tmp_path / "a.txt").write_text("a")
    hf(f"upload {repo} a.txt --revision refs/pr/1")
    hf(f"discussions comment {repo} 1 --body fine")
    hf(f"discussions rename {repo} 1 Renamed")
    assert [row["title"] for row in hf(f"discussions list {repo}")] == ["Renamed"]
    hf(f"discussions merge {repo} 1 --yes")
    assert hf(f"discussions info {repo} 1")["status"] == "merged"
    assert files(api, repo) == {"a.txt"}
    assert hf(f"discussions create {repo} --title Question --body Why?")["num"] == 2
    hf(f"discussions close {repo} 2 --yes")
    hf(f"discussions reopen {repo} 2 --yes")
    assert hf(f"discussions info {repo} 2")["status"] == "open"


def test_a_repo_is_duplicated(api: HfApi, hf: Hf, new_repo: NewRepo, new_name: NewName) -> None:
    repo, target = new_repo(private=True), new_name()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.bin")
    hf(f"repos duplicate {repo} {target}")
    assert files(api, target) == {"x.bin"}
