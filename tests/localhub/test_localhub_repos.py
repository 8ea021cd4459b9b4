"""Repos as wholes: made, found, described, changed, deleted; and who may."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from localhub_server import ROOT, TOKEN, USER, Server

NewRepo = Callable[..., str]


def test_whoami_names_the_user_and_what_the_token_may_do(api: HfApi) -> None:
    me = api.whoami()
    assert me["name"] == USER
    assert me["auth"]["accessToken"]["role"] == "write"


def test_a_wrong_token_is_refused_even_where_none_is_needed(server: Server, new_repo: NewRepo) -> None:
    public = new_repo()
    wrong = HfApi(endpoint=server.url, token="hf_wrong")
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        wrong.whoami()
    with pytest.raises(HfHubHTTPError) as refused:
        wrong.model_info(public)
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


def test_a_commit_id_of_a_private_repo_opens_nothing_through_a_public_one(server: Server, new_repo: NewRepo) -> None:
    private, public = new_repo(private=True), new_repo()
    made = server.api.upload_file(repo_id=private, path_or_fileobj=b"secret", path_in_repo="x.txt")
    assert not server.anonymous.revision_exists(public, made.oid)


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


def test_a_repo_without_namespace_goes_to_its_maker(api: HfApi) -> None:
    assert api.create_repo("no-namespace").repo_id == f"{USER}/no-namespace"
    assert api.create_repo("someone/else").repo_id == "someone/else"


@pytest.mark.parametrize("name", ["..", "a..b", "x.git", "-x", "a b", "é", "a/b", "", "a" * 97])
def test_a_name_that_could_mislead_is_refused(server: Server, name: str) -> None:
    with server.http() as http:
        assert http.post("/api/repos/create", json={"name": name, "organization": "ok"}).status_code == 400
        assert http.post("/api/repos/create", json={"name": "ok", "organization": name or "api"}).status_code == 400


def test_what_is_missing_is_missed_in_the_clients_own_words(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    assert not api.repo_exists("nobody/nothing")
    assert not api.repo_exists("nothing")
    assert not api.repo_exists(repo, repo_type="dataset")
    assert not api.file_exists(repo, "nothing.txt")
    assert not api.file_exists("nobody/nothing", "nothing.txt")
    assert not api.revision_exists(repo, "nothing")
    assert api.file_exists(repo, ".gitattributes")
    assert api.revision_exists(repo, "main")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("nobody/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="nothing")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("nobody/nothing")
    api.delete_repo("nobody/nothing", missing_ok=True)


def test_a_deleted_repo_is_gone_and_its_name_is_free(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt")
    api.delete_repo(repo)
    assert not api.repo_exists(repo)
    api.create_repo(repo)
    assert not api.file_exists(repo, "x.txt")


def test_a_moved_repo_keeps_its_files(api: HfApi, new_repo: NewRepo) -> None:
    repo = new_repo()
    api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.txt")
    api.move_repo(repo, "elsewhere/moved")
    assert not api.repo_exists(repo)
    assert api.file_exists("elsewhere/moved", "x.txt")


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
    assert {"maths", "ru", "license:mit"} <= set(info.tags or ())
    files = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    assert files["README.md"].size == len(card)
    lfs = files["w.bin"].lfs
    assert lfs is not None
    assert lfs.size == 5


def test_lists_filter_by_author_words_and_tags(api: HfApi) -> None:
    for name in ("alpha-ru", "beta-uk"):
        api.create_repo(f"lister/{name}", repo_type="dataset")
    card = b"---\ntags: [needle]\n---\n"
    api.upload_file(repo_id="lister/alpha-ru", repo_type="dataset", path_or_fileobj=card, path_in_repo="README.md")
    assert {repo.id for repo in api.list_datasets(author="lister")} == {"lister/alpha-ru", "lister/beta-uk"}
    assert [repo.id for repo in api.list_datasets(search="Beta")] == ["lister/beta-uk"]
    assert [repo.id for repo in api.list_datasets(filter="needle")] == ["lister/alpha-ru"]
    assert len(list(api.list_datasets(author="lister", limit=1))) == 1


def test_the_file_system_reads_writes_and_removes(server: Server, new_repo: NewRepo) -> None:
    repo = new_repo(repo_type="dataset")
    files = HfFileSystem(endpoint=server.url, token=TOKEN, skip_instance_cache=True)
    root = f"datasets/{repo}"
    with files.open(f"{root}/a/b.txt", "w") as file:
        file.write("written")
    assert files.read_text(f"{root}/a/b.txt") == "written"
    assert files.read_block(f"{root}/a/b.txt", 2, 3) == b"itt"
    assert files.ls(f"{root}/a", detail=False) == [f"{root}/a/b.txt"]
    assert files.glob(f"{root}/**/*.txt") == [f"{root}/a/b.txt"]
    files.rm(f"{root}/a/b.txt")
    assert not files.exists(f"{root}/a/b.txt")
