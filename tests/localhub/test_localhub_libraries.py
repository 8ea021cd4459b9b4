"""datasets and transformers, unmodified, in processes that know the Hub by their environment alone."""

from collections.abc import Callable

import pytest

Client = Callable[..., str]
NewName = Callable[[], str]
pytestmark = pytest.mark.any_hub


@pytest.mark.each_transfer
def test_a_data_set_of_two_configs_goes_up_and_comes_back_by_commit(client: Client, new_name: NewName) -> None:
    client(
        """
        import sys
        from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset
        from huggingface_hub import HfApi

        def rows(language, n):
            return Dataset.from_dict({"id": list(range(n)), "text": [f"{language} {i}" for i in range(n)],
                                      "chat": [[{"role": "user", "content": language}]] * n})

        repo = sys.argv[1]
        for language in ("ru", "uk"):
            DatasetDict({"train": rows(language, 10), "test": rows(language, 3)}).push_to_hub(
                repo, language, private=True, num_shards={"train": 2, "test": 1})
        commit = HfApi().dataset_info(repo).sha
        rows("changed", 1).push_to_hub(repo, "ru", split="train")

        assert get_dataset_config_names(repo) == ["ru", "uk"]
        pinned = load_dataset(repo, "ru", revision=commit)
        assert {split: len(part) for split, part in pinned.items()} == {"train": 10, "test": 3}
        assert pinned["train"][9] == {"id": 9, "text": "ru 9", "chat": [{"role": "user", "content": "ru"}]}
        assert load_dataset(repo, "ru", split="train")["text"] == ["changed 0"]
        assert len(load_dataset(repo, "uk", split="train")) == 10
        streamed = load_dataset(repo, "uk", split="test", streaming=True, revision=commit)
        assert [row["id"] for row in streamed] == [0, 1, 2]

        HfApi().create_tag(repo, tag="v1", revision=commit, repo_type="dataset")
        assert len(load_dataset(repo, "ru", split="train", revision="v1")) == 10
        """,
        new_name(),
    )


def test_a_data_set_goes_to_a_branch_in_shards_of_a_size_by_many_processes(client: Client, new_name: NewName) -> None:
    client(
        """
        import sys
        from datasets import Dataset, load_dataset
        from huggingface_hub import HfApi

        def shards(revision):
            return [path for path in HfApi().list_repo_files(repo, repo_type="dataset", revision=revision)
                    if path.endswith(".parquet")]

        if __name__ == "__main__":
            repo = sys.argv[1]
            HfApi().create_repo(repo, repo_type="dataset", private=True)
            rows = Dataset.from_dict({"text": [f"{i} " * 100 for i in range(1000)]})
            rows.push_to_hub(repo, max_shard_size="100KB", revision="by-size")
            assert len(shards("by-size")) > 3
            rows.push_to_hub(repo, num_proc=2, num_shards=4, revision="by/two")
            assert len(shards("by/two")) == 4
            assert shards("main") == []
            for revision in ("by-size", "by/two"):
                assert load_dataset(repo, split="train", revision=revision)["text"] == rows["text"]
            made = rows.push_to_hub(repo, create_pr=True)
            assert load_dataset(repo, split="train", revision=made.pr_revision).num_rows == 1000
        """,
        new_name(),
    )


def test_json_lines_and_named_data_files_load(client: Client, new_name: NewName) -> None:
    client(
        """
        import json
        import sys
        from datasets import load_dataset
        from huggingface_hub import HfApi
        api, repo = HfApi(), sys.argv[1]
        api.create_repo(repo, repo_type="dataset", private=True)
        for split, count in (("train", 4), ("test", 2)):
            text = "".join(json.dumps({"q": f"{split} {i}"}) + "\\n" for i in range(count)).encode()
            api.upload_file(repo_id=repo, repo_type="dataset", path_or_fileobj=text,
                            path_in_repo=f"data/{split}.jsonl")
        assert {split: len(part) for split, part in load_dataset(repo).items()} == {"train": 4, "test": 2}
        named = load_dataset(repo, data_files={"validation": "data/test.jsonl"})
        assert named["validation"]["q"] == ["test 0", "test 1"]
        by_address = load_dataset("json", data_files=f"hf://datasets/{repo}/data/t*.jsonl", split="train")
        assert len(by_address) == 6
        streamed = load_dataset(repo, data_files="data/train.jsonl", split="train", streaming=True)
        assert next(iter(streamed)) == {"q": "train 0"}
        """,
        new_name(),
    )


def test_a_model_with_shards_goes_up_and_comes_back_by_revision(client: Client, new_name: NewName) -> None:
    client(
        """
        import sys
        import torch
        from huggingface_hub import HfApi
        from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        repo = sys.argv[1]
        config = LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                             num_attention_heads=2, num_key_value_heads=2)
        model, other = LlamaForCausalLM(config), LlamaForCausalLM(config)
        model.push_to_hub(repo, max_shard_size="20KB", private=True)
        files = HfApi().list_repo_files(repo)
        assert sum(name.endswith(".safetensors") for name in files) > 1, files
        commit = HfApi().model_info(repo).sha
        other.push_to_hub(repo, revision="other")

        tokens = torch.tensor([[1, 2, 3]])
        for revision, expected in ((commit, model), ("main", model), ("other", other)):
            loaded = AutoModelForCausalLM.from_pretrained(repo, revision=revision)
            assert torch.equal(loaded(tokens).logits, expected(tokens).logits), revision
        assert AutoConfig.from_pretrained(repo).hidden_size == 32

        names = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        sharded, single = (HfApi().get_safetensors_metadata(repo, revision=it) for it in ("main", "other"))
        assert sharded.sharded and not single.sharded
        for metadata in (sharded, single):
            assert metadata.weight_map.keys() == names.keys()
        file = HfApi().parse_safetensors_file_metadata(repo, "model.safetensors", revision="other")
        assert {name: tensor.shape for name, tensor in file.tensors.items()} == names
        assert file.parameter_count == {"F32": sum(parameter.numel() for parameter in model.parameters())}
        """,
        new_name(),
    )
