"""Refusals as the clients tell them apart: by exception, status and code."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import _CACHED_NO_EXIST  # the only sign that the client trusts the answer
from huggingface_hub.utils import hf_raise_for_status
from localhub_server import Server

NewRepo = Callable[..., str]
NewName = Callable[[], str]
Attempt = Callable[[HfApi, str], object]
pytestmark = pytest.mark.any_hub

REFUSALS: dict[str, tuple[Attempt, type[HfHubHTTPError], int, str | None]] = {
    "no such repo": (lambda api, repo: api.model_info(f"{repo}x"), RepositoryNotFoundError, 404, "RepoNotFound"),
    "of the other kind": (lambda api, repo: api.dataset_info(repo), RepositoryNotFoundError, 404, "RepoNotFound"),
    "no such revision": (
        lambda api, repo: api.model_info(repo, revision="none"),
        RevisionNotFoundError,
        404,
        "RevisionNotFound",
    ),
    "no such commit": (
        lambda api, repo: api.model_info(repo, revision="0" * 40),
        RevisionNotFoundError,
        404,
        "RevisionNotFound",
    ),
    "no such branch to write to": (
        lambda api, repo: api.upload_file(repo_id=repo, path_or_fileobj=b"", path_in_repo="x", revision="none"),
        RevisionNotFoundError,
        404,
        "RevisionNotFound",
    ),
    "no such folder": (
        lambda api, repo: list(api.list_repo_tree(repo, "none")),
        RemoteEntryNotFoundError,
        404,
        "EntryNotFound",
    ),
    "no such file to delete": (
        lambda api, repo: api.delete_file("none", repo),
        RemoteEntryNotFoundError,
        404,
        "EntryNotFound",
    ),
    "no such branch to delete": (lambda api, repo: api.delete_branch(repo, branch="none"), HfHubHTTPError, 404, None),
    "a bad name for a branch": (lambda api, repo: api.create_branch(repo, branch="a..b"), BadRequestError, 400, None),
    "a repo of that name": (lambda api, repo: api.create_repo(repo), HfHubHTTPError, 409, None),
    "a tag of that name": (lambda api, repo: api.create_tag(repo, tag="v1"), HfHubHTTPError, 409, None),
    "a stale parent": (
        lambda api, repo: api.upload_file(
            repo_id=repo,
            path_or_fileobj=b"new",
            path_in_repo="x",
            parent_commit=api.list_repo_commits(repo)[-1].commit_id,
        ),
        HfHubHTTPError,
        412,
        None,
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_the_exception_the_client_branches_on(api: HfApi, new_repo: NewRepo, what: str) -> None:
    attempt, kind, status, code = REFUSALS[what]
    repo = new_repo()
    api.create_tag(repo, tag="v1")
    head = api.upload_file(repo_id=repo, path_or_fileobj=b"old", path_in_repo="x").oid
    with pytest.raises(kind) as refused:
        attempt(api, repo)
    assert type(refused.value) is kind
    assert refused.value.response.status_code == status
    assert refused.value.response.headers.get("X-Error-Code") == code
    assert refused.value.response.headers["X-Error-Message"]
    assert api.model_info(repo).sha == head


def test_a_stranger_is_told_that_a_private_repo_does_not_exist(
    server: Server, new_repo: NewRepo, new_name: NewName
) -> None:
    def told(repo: str) -> tuple[int, str | None, str | None]:
        with pytest.raises(RepositoryNotFoundError) as refused:
            server.anonymous.model_info(repo)
        answer = refused.value.response
        return answer.status_code, answer.headers.get("X-Error-Code"), answer.headers.get("X-Error-Message")

    assert told(new_repo(private=True)) == told(new_name())


def test_that_a_file_is_missing_is_remembered_for_that_commit(api: HfApi, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    with pytest.raises(RemoteEntryNotFoundError) as missed:
        api.hf_hub_download(repo, "none.txt", cache_dir=tmp_path)
    assert missed.value.response.headers["X-Repo-Commit"] == api.model_info(repo).sha
    assert try_to_load_from_cache(repo, "none.txt", cache_dir=tmp_path) is _CACHED_NO_EXIST


@pytest.mark.embedded_only("it makes a public repo")
def test_a_gated_repo_is_open_here(server: Server, new_repo: NewRepo, tmp_path: Path) -> None:
    repo = new_repo()
    server.api.update_repo_settings(repo, gated="auto")
    try:
        server.anonymous.auth_check(repo)
        server.anonymous.hf_hub_download(repo, ".gitattributes", cache_dir=tmp_path)
    except GatedRepoError:
        pytest.fail("there is nobody here who could grant access")


@pytest.mark.embedded_only("it serves that")
def test_what_is_not_served_is_not_taken_for_a_missing_repo(api: HfApi, new_repo: NewRepo, new_name: NewName) -> None:
    with pytest.raises(HfHubHTTPError, match="does not serve safetensors-metadata") as refused:
        api.get_sharded_safetensors_metadata(new_repo())
    assert type(refused.value) is HfHubHTTPError
    with pytest.raises(RepositoryNotFoundError):
        api.get_sharded_safetensors_metadata(new_name())


@pytest.mark.embedded_only("it attacks the server")
def test_a_body_that_is_too_large_is_an_error_the_client_reports(server: Server) -> None:
    with server.http() as http:
        answer = http.post("/api/validate-yaml", content=b" " * (17 << 20))
    with pytest.raises(HfHubHTTPError, match="longer than") as refused:
        hf_raise_for_status(answer)
    assert refused.value.response.status_code == 413
