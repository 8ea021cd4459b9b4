"""datasets and transformers, unmodified, in processes that know the Hub by their environment alone."""

from collections.abc import Callable

Client = Callable[..., str]


def test_a_data_set_of_two_configs_goes_up_and_comes_back_by_commit(client: Client) -> None:
    client(
        """
        from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset
        from huggingface_hub import HfApi

        def rows(language, n):
            return Dataset.from_dict({"id": list(range(n)), "text": [f"{language} {i}" for i in range(n)],
                                      "chat": [[{"role": "user", "content": language}]] * n})

        repo = "tester/two-configs"
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
        """
    )


def test_json_lines_and_named_data_files_load(client: Client) -> None:
    client(
        """
        import json
        from datasets import load_dataset
        from huggingface_hub import HfApi
        api = HfApi()
        api.create_repo("tester/lines", repo_type="dataset")
        for split, count in (("train", 4), ("test", 2)):
            text = "".join(json.dumps({"q": f"{split} {i}"}) + "\\n" for i in range(count)).encode()
            api.upload_file(repo_id="tester/lines", repo_type="dataset", path_or_fileobj=text,
                            path_in_repo=f"data/{split}.jsonl")
        assert {split: len(part) for split, part in load_dataset("tester/lines").items()} == {"train": 4, "test": 2}
        named = load_dataset("tester/lines", data_files={"validation": "data/test.jsonl"})
        assert named["validation"]["q"] == ["test 0", "test 1"]
        """
    )


def test_a_model_with_shards_goes_up_and_comes_back_by_revision(client: Client) -> None:
    client(
        """
        import torch
        from huggingface_hub import HfApi
        from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                             num_attention_heads=2, num_key_value_heads=2)
        model = LlamaForCausalLM(config)
        model.push_to_hub("tester/tiny", max_shard_size="20KB")
        files = HfApi().list_repo_files("tester/tiny")
        assert sum(name.endswith(".safetensors") for name in files) > 1, files
        commit = HfApi().model_info("tester/tiny").sha
        other = LlamaForCausalLM(config)
        other.push_to_hub("tester/tiny", revision="other", max_shard_size="20KB")

        tokens = torch.tensor([[1, 2, 3]])
        for revision, expected in ((commit, model), ("main", model), ("other", other)):
            loaded = AutoModelForCausalLM.from_pretrained("tester/tiny", revision=revision)
            assert torch.equal(loaded(tokens).logits, expected(tokens).logits), revision
        assert AutoConfig.from_pretrained("tester/tiny").hidden_size == 32
        metadata = HfApi().get_safetensors_metadata("tester/tiny")
        assert metadata.sharded
        """
    )
