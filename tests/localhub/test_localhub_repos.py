"""Repos as wholes: made, found, described, changed, deleted; and who may."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from localhub_server import ROOT, TOKEN, Server

NewRepo = Callable[..., str]
NewName = Callable[[], str]
pytestmark = pytest.mark.any_hub


def test_whoami_names_the_user_and_what_the_token_may_do(server: Server, api: HfApi) -> None:
    me = api.whoami()
    assert (me["type"], me["name"]) == ("user", server.user)
    assert me["auth"]["accessToken"]["role"] == "write"


def test_a_wrong_token_is_refused_even_where_none_is_needed(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    wrong = HfApi(endpoint=server.url, token="hf_wrong")
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        wrong.whoami()
    with pytest.raises(HfHubHTTPError) as refused:
        wrong.model_info(repo)
    assert refused.value.response.status_code == 401
    assert "Invalid credentials" in refused.value.response.headers["X-Error-Message"]


def test_writing_without_a_token_is_refused(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    for attempt in (
        lambda: server.anonymous.create_repo("stranger/repo"),
        lambda: server.anonymous.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x"),
        lambda: server.anonymous.delete_repo(repo),
        lambda: server.anonymous.create_tag(repo, tag="x"),
    ):
        with pytest.raises(HfHubHTTPError) as refused:
            attempt()
        assert refused.value.response.status_code == 401
    with server.http(token=None) as http:
        assert http.post(f"/api/models/{repo}/commit/main", content=b"{}").status_code == 401


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_wrong", 401), ("ours", 200)])
def test_a_private_repo_opens_to_a_token_that_may(
    server: Server, new_repo: NewRepo, token: str | None, status: int
) -> None:
    repo = new_repo(private=True)
    sha = server.api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt").oid
    with server.http(server.token if token == "ours" else token) as http:
        for address in (
            f"/api/models/{repo}",
            f"/api/models/{repo}/revision/{sha}",
            f"/api/models/{repo}/tree/main",
            f"/api/models/{repo}/refs",
            f"/api/models/{repo}/commits/main",
            f"/{repo}/resolve/main/x.txt",
            f"/{repo}/resolve/{sha}/x.txt",
        ):
            assert http.get(address, follow_redirects=True).status_code == status, address
        batch = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}
        assert http.post(f"/{repo}.git/info/lfs/objects/batch", json=batch).status_code == status
        body = {"files": [{"path": "x", "size": 1, "sample": ""}]}
        assert http.post(f"/api/models/{repo}/preupload/main", json=body).status_code == status


def test_access_can_be_asked_for_before_it_is_needed(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(private=True)
    server.api.auth_check(repo)
    server.api.auth_check(repo, write=True)
    with pytest.raises(RepositoryNotFoundError):
        server.anonymous.auth_check(repo)


@pytest.mark.embedded_only("it reads every list and page")
def test_a_private_repo_does_not_exist_for_strangers(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(private=True)
    server.api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt")
    assert server.api.repo_exists(repo)
    assert not server.anonymous.repo_exists(repo)
    assert repo not in {model.id for model in server.anonymous.list_models()}
    assert repo in {model.id for model in server.api.list_models()}
    with pytest.raises(RepositoryNotFoundError):
        server.anonymous.hf_hub_download(repo, "x.txt")
    with server.http(token=None) as http:
        assert http.get(f"/{repo}").status_code == 401
        assert http.get(f"/{repo}/resolve/main/x.txt").status_code == 401
        assert repo not in http.get("/").text


@pytest.mark.embedded_only("it makes a public repo")
def test_a_commit_id_of_a_private_repo_opens_nothing_through_a_public_one(server: Server, new_repo: NewRepo) -> None:
    private, public = new_repo(private=True), new_repo()
    made = server.api.upload_file(repo_id=private, path_or_fileobj=b"secret", path_in_repo="x.txt")
    assert not server.anonymous.revision_exists(public, made.oid)


@pytest.mark.embedded_only("it makes a token")
def test_a_read_only_token_reads_private_repos_and_writes_nothing(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(private=True)
    # Beside the running server, as the command line would: the database is shared, the folder's lock is not needed.
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from pipelines.localhub.store import database, tokens\n"
            "with database.Database(Path(sys.argv[1])).write() as db:\n"
            "    tokens.name_token(db, 'hf_reader', 'reader', 'read')\n",
            str(server.data / "hub.sqlite"),
        ],
        cwd=ROOT,
        check=True,
    )
    reader = HfApi(endpoint=server.url, token="hf_reader")
    assert reader.model_info(repo).private
    reader.auth_check(repo)
    with pytest.raises(HfHubHTTPError) as refused:
        reader.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x")
    assert refused.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError):
        reader.auth_check(repo, write=True)


@pytest.mark.embedded_only("it reads the data folder")
def test_tokens_are_not_in_the_data_folder(server: Server, api: HfApi) -> None:
    api.whoami()
    for file in server.data.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes()


def test_creating_twice_fails_unless_it_may_exist(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo(repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo(repo, repo_type="dataset")
    assert refused.value.response.status_code == 409
    again = api.create_repo(repo, repo_type="dataset", exist_ok=True)
    assert (again.repo_id, again.repo_type) == (repo, "dataset")


def test_a_repo_without_namespace_goes_to_its_maker(server: Server, new_name: NewName) -> None:
    wanted = new_name()
    assert server.api.create_repo(wanted.partition("/")[2], private=server.private).repo_id == wanted


@pytest.mark.embedded_only("a namespace belongs to somebody there")
def test_any_namespace_can_be_written_to(api: HfApi) -> None:
    assert api.create_repo("someone/else").repo_id == "someone/else"


@pytest.mark.embedded_only("it creates repos for others")
@pytest.mark.parametrize("name", ["..", "a..b", "x.git", "-x", "a b", "é", "a/b", "", "a" * 97])
def test_a_name_that_could_mislead_is_refused(server: Server, name: str) -> None:
    with server.http() as http:
        assert http.post("/api/repos/create", json={"name": name, "organization": "ok"}).status_code == 400
        assert http.post("/api/repos/create", json={"name": "ok", "organization": name or "api"}).status_code == 400


def test_what_is_missing_is_missed_in_the_clients_own_words(api: HfApi, new_repo: NewRepo, new_name: NewName) -> None:
    repo, missing = new_repo(), new_name()
    assert not api.repo_exists(missing)
    assert not api.repo_exists(missing.partition("/")[2])
    assert not api.repo_exists(repo, repo_type="dataset")
    assert not api.file_exists(repo, "nothing.txt")
    assert not api.file_exists(missing, "nothing.txt")
    assert not api.revision_exists(repo, "nothing")
    assert api.file_exists(repo, ".gitattributes")
    assert api.revision_exists(repo, "main")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info(missing)
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="nothing")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(missing)
    api.delete_repo(missing, missing_ok=True)


def test_a_deleted_repo_is_gone_and_its_name_is_free(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt")
    api.delete_repo(repo)
    assert not api.repo_exists(repo)
    api.create_repo(repo, private=True)
    assert not api.file_exists(repo, "x.txt")


def test_a_moved_repo_keeps_its_files(api: HfApi, new_repo: NewRepo, new_name: NewName) -> None:
    repo, target = new_repo(), new_name()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt")
    api.move_repo(repo, target)
    assert api.file_exists(target, "x.txt")
    with pytest.raises(HfHubHTTPError) as refused:
        api.move_repo(target, new_repo())
    assert refused.value.response.status_code == 409


@pytest.mark.embedded_only("the old name leads to the new one there")
def test_a_moved_repo_leaves_its_name_free(api: HfApi, new_repo: NewRepo, new_name: NewName) -> None:
    repo = new_repo()
    api.move_repo(repo, new_name())
    assert not api.repo_exists(repo)


def test_a_duplicate_has_the_files_and_a_life_of_its_own(api: HfApi, new_repo: NewRepo, new_name: NewName) -> None:
    repo, target = new_repo(private=True), new_name()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.bin")
    assert api.duplicate_repo(repo, target).repo_id == target
    api.delete_repo(repo)
    assert api.model_info(target).private
    assert api.file_exists(target, "x.bin")
    with pytest.raises(HfHubHTTPError) as refused:
        api.duplicate_repo(target, target)
    assert refused.value.response.status_code == 409


@pytest.mark.embedded_only("it makes a repo public")
def test_settings_change_who_sees_a_repo(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo()
    server.api.update_repo_settings(repo, private=True)
    assert not server.anonymous.repo_exists(repo)
    server.api.update_repo_settings(repo, private=False, gated="auto")
    assert server.anonymous.model_info(repo).gated == "auto"


def test_info_tells_card_and_files_with_their_hashes(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo(repo_type="dataset")
    card = b"---\nlanguage:\n- ru\ntags:\n- maths\nlicense: mit\ncreated: 2025-01-01\n---\n# Hi\n"
    api.upload_file(repo_id=repo, repo_type="dataset", path_or_fileobj=card, path_in_repo="README.md")
    api.upload_file(repo_id=repo, repo_type="dataset", path_or_fileobj=b"large", path_in_repo="w.bin")
    info = api.dataset_info(repo, files_metadata=True)
    assert info.card_data is not None
    assert info.card_data.language == ["ru"]
    assert {"maths", "language:ru", "license:mit"} <= set(info.tags or ())
    files = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    assert files["README.md"].size == len(card)
    lfs = files["w.bin"].lfs
    assert lfs is not None
    assert lfs.size == 5
