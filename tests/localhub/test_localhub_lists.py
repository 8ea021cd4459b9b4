"""Lists of repos: what is found by author, words, tags, and page by page."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import paginate
from localhub_server import Server

NewName = Callable[[], str]
pytestmark = pytest.mark.any_hub


@pytest.fixture
def three(server: Server, new_name: NewName) -> list[str]:
    """Three models, oldest first; the last has a card."""
    names = [new_name() for _ in range(3)]
    for name in names:
        server.api.create_repo(name, private=server.private)
    card = b"---\nlanguage: [ru]\ntags: [needle]\npipeline_tag: text-generation\nlibrary_name: transformers\n---\n"
    server.api.upload_file(repo_id=names[2], path_or_fileobj=card, path_in_repo="README.md")
    return names


def test_models_are_found_by_author_and_words(server: Server, three: list[str]) -> None:
    assert set(three) <= {model.id for model in server.api.list_models(author=server.user)}
    words = three[0].partition("/")[2].upper()
    assert [model.id for model in server.api.list_models(author=server.user, search=words)] == [three[0]]


def test_models_are_found_by_what_their_card_says(server: Server, three: list[str]) -> None:
    def found(**how: object) -> set[str]:
        return {model.id for model in server.api.list_models(author=server.user, **how)} & set(three)  # type: ignore[arg-type]

    for wanted in ("needle", "ru", "transformers", ["needle", "ru"]):
        assert found(filter=wanted) == {three[2]}
    assert found(pipeline_tag="text-generation") == {three[2]}
    assert found(pipeline_tag="text-to-image") == set()
    assert found(filter=["needle", "uk"]) == set()
    assert found(gated=True) == set()
    assert found(gated=False) == set(three)
    (card,) = (model.card_data for model in server.api.list_models(filter="needle", cardData=True, author=server.user))
    assert card is not None
    assert card.language == ["ru"]


def test_data_sets_are_found_by_name_language_and_task(server: Server, api: HfApi, new_name: NewName) -> None:
    ours, other = new_name(), new_name()
    for name in (ours, other):
        api.create_repo(name, repo_type="dataset", private=server.private)
    card = b"---\nlanguage: [uk]\ntask_categories: [text-generation]\nsize_categories: [n<1K]\n---\n"
    api.upload_file(repo_id=ours, repo_type="dataset", path_or_fileobj=card, path_in_repo="README.md")

    def found(**how: object) -> set[str]:
        return {it.id for it in api.list_datasets(author=server.user, **how)} & {ours, other}  # type: ignore[arg-type]

    assert found() == {ours, other}
    assert found(language="uk") == {ours}
    assert found(task_categories="text-generation", size_categories="n<1K") == {ours}
    assert found(dataset_name=ours.partition("/")[2]) == {ours}
    assert found(dataset_name="thinkin-test", search=other.partition("/")[2]) == {other}
    assert found(search=uuid4().hex) == set()


def test_the_newest_comes_first_and_a_limit_holds(server: Server, api: HfApi, three: list[str]) -> None:
    api.upload_file(repo_id=three[0], path_or_fileobj=b"x", path_in_repo="x.txt")
    changed = [model.id for model in api.list_models(author=server.user, sort="last_modified") if model.id in three]
    assert changed[0] == three[0]
    made = [model.id for model in api.list_models(author=server.user, sort="created_at") if model.id in three]
    assert made == three[::-1]
    assert len(list(api.list_models(author=server.user, limit=2))) == 2


def test_a_list_of_several_pages_comes_whole(server: Server, three: list[str]) -> None:
    query = {"author": server.user, "search": "thinkin-test", "limit": 2}
    headers = {"Authorization": f"Bearer {server.token}"}
    found = [model["id"] for model in paginate(f"{server.url}/api/models", query, headers)]
    assert set(three) <= set(found)
    assert len(found) == len(set(found))


def test_ones_own_repos_are_listed_with_their_size(server: Server, api: HfApi, new_name: NewName) -> None:
    name = new_name()
    api.create_repo(name, repo_type="dataset", private=True)
    api.upload_file(repo_id=name, repo_type="dataset", path_or_fileobj=b"x" * 100_000, path_in_repo="x.bin")
    (own,) = (repo for repo in api.list_user_repos() if repo.id == name)
    assert (own.type, own.visibility) == ("dataset", "private")
    assert own.storage >= 100_000
