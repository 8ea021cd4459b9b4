"""Cards: read, written and mended by the client; refused with the reason."""

from collections.abc import Callable

import pytest
from huggingface_hub import HfApi
from localhub_server import Server

NewRepo = Callable[..., str]
Client = Callable[..., str]
pytestmark = pytest.mark.any_hub


def test_cards_go_up_come_back_and_are_mended(client: Client, new_repo: NewRepo) -> None:
    client(
        """
        import sys
        from huggingface_hub import (DatasetCard, DatasetCardData, ModelCard, ModelCardData, metadata_update)
        from huggingface_hub.errors import EntryNotFoundError

        model, dataset = sys.argv[1:]
        try:
            ModelCard.load(model)
            raise SystemExit("there was no card to load")
        except EntryNotFoundError:
            pass
        data = ModelCardData(language=["ru", "uk"], license="apache-2.0", library_name="transformers",
                             tags=["reasoning"], base_model="Qwen/Qwen2.5-0.5B", model_name="Tiny")
        card = ModelCard.from_template(data, model_id="Tiny", model_description="Думает по-русски.")
        card.validate()
        assert card.push_to_hub(model, commit_message="a card").startswith("http")
        loaded = ModelCard.load(model)
        assert loaded.data.to_dict() == data.to_dict()
        assert "Думает по-русски." in loaded.text

        metadata_update(model, {"pipeline_tag": "text-generation"})
        mended = ModelCard.load(model).data
        assert mended.tags == ["reasoning"]
        assert mended.pipeline_tag == "text-generation"
        try:
            metadata_update(model, {"license": "mit"})
            raise SystemExit("a value was overwritten unasked")
        except ValueError:
            pass
        metadata_update(model, {"license": "mit"}, overwrite=True)
        assert ModelCard.load(model).data.license == "mit"

        DatasetCard("---\\nlanguage: [ru]\\nsize_categories: [n<1K]\\n---\\n# Rows\\n").push_to_hub(dataset)
        assert DatasetCard.load(dataset).data.size_categories == ["n<1K"]
        proposed = DatasetCard("---\\nlanguage: [uk]\\n---\\n").push_to_hub(dataset, create_pr=True)
        assert proposed.pr_num == 1
        assert DatasetCard.load(dataset).data.language == ["ru"]
        """,
        new_repo(),
        new_repo(repo_type="dataset"),
    )


def test_evaluation_results_are_merged_into_a_card(client: Client, new_repo: NewRepo) -> None:
    client(
        """
        import sys
        from huggingface_hub import EvalResult, ModelCard, ModelCardData, metadata_update

        def result(value):
            return EvalResult(task_type="text-generation", dataset_type="mgsm", dataset_name="MGSM",
                              metric_type="accuracy", metric_value=value)

        repo = sys.argv[1]
        ModelCard("---\\nlanguage: ru\\n---\\n# Tiny\\n").push_to_hub(repo)
        for value, overwrite in ((0.25, False), (0.5, True)):
            data = ModelCardData(model_name="Tiny", eval_results=[result(value)])
            metadata_update(repo, {"model-index": data.to_dict()["model-index"]}, overwrite=overwrite)
            (found,) = ModelCard.load(repo).data.eval_results
            assert found.metric_value == value
        """,
        new_repo(),
    )


@pytest.mark.parametrize("card", ["---\nlanguage: [ru\n---\n", "---\n- a list\n---\n", "---\nlanguage: no\n---\n"])
def test_a_card_with_bad_metadata_is_refused_and_changes_nothing(api: HfApi, new_repo: NewRepo, card: str) -> None:
    repo = new_repo()
    before = api.model_info(repo).sha
    with pytest.raises(ValueError, match="metadata"):
        api.upload_file(repo_id=repo, path_or_fileobj=card.encode(), path_in_repo="README.md")
    assert api.model_info(repo).sha == before


@pytest.mark.embedded_only("the words of the refusal are ours")
@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("---\nlanguage: [ru\n---\n", "YAML"),
        ("---\n- a list\n---\n", "mapping"),
        ("---\nlanguage: no\n---\n", "language"),
    ],
)
def test_a_refused_card_is_told_the_reason(server: Server, new_repo: NewRepo, card: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        server.api.upload_file(repo_id=new_repo(), path_or_fileobj=card.encode(), path_in_repo="README.md")
    with server.http() as http:
        answer = http.post("/api/validate-yaml", json={"content": card, "repoType": "model"})
    assert answer.status_code == 400
    assert reason in answer.json()["errors"][0]["message"]


@pytest.mark.embedded_only("it attacks the server")
def test_yaml_that_json_cannot_carry_is_refused(server: Server) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    circle = "a: &a [*a]\n"
    with server.http() as http:
        for text in (bomb, circle, "[" * 3000, 'a: "\\ud800"', f"a: 0x{'f' * 5000}", "a: .nan"):
            answer = http.post("/api/validate-yaml", json={"content": f"---\n{text}\n---\n", "repoType": "model"})
            assert answer.status_code == 400
