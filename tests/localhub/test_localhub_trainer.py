"""transformers' Trainer, which pushes while it trains."""

from collections.abc import Callable

import pytest
from localhub_server import ROOT

Client = Callable[..., str]
NewName = Callable[[], str]
pytestmark = pytest.mark.any_hub


def test_a_trainer_pushes_when_its_strategy_says_so(client: Client, new_name: NewName) -> None:
    client(
        """
        import sys
        from pathlib import Path
        import torch
        from huggingface_hub import HfApi, ModelCard, snapshot_download
        from tiny import make_student
        from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

        folder = make_student(Path("student"))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer("Осталось 12 - 5 = 7 яблок.")["input_ids"]
        rows = [{"input_ids": ids, "labels": ids}] * 8

        class Patience(TrainerCallback):
            # Trainer goes on while it pushes, and may overwrite the very files it is pushing.
            def __init__(self, trainer):
                self.trainer = trainer

            def on_save(self, *_, **__):
                if self.trainer.push_in_progress:
                    self.trainer.push_in_progress.wait_until_done()

        def trainer(repo, strategy, steps=4):
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            arguments = TrainingArguments(
                output_dir=repo.replace("/", "-"), hub_model_id=repo, push_to_hub=True, hub_strategy=strategy,
                hub_private_repo=True, hub_always_push=True, max_steps=steps, save_steps=2,
                per_device_train_batch_size=2, lr_scheduler_type="constant", report_to=[], disable_tqdm=True,
                use_cpu=True)
            made = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
            made.add_callback(Patience(made))
            return made

        def check_weights(model, repo):
            pushed = AutoModelForCausalLM.from_pretrained(repo, dtype=torch.float32).state_dict()
            for name, weight in model.state_dict().items():
                assert torch.equal(weight, pushed[name]), name

        def titles(repo, strategy):
            made = trainer(repo, strategy)
            made.train()
            made.push_to_hub()
            check_weights(made.model, repo)
            assert AutoTokenizer.from_pretrained(repo)("яблок")["input_ids"] == tokenizer("яблок")["input_ids"]
            assert ModelCard.load(repo).data.library_name == "transformers"
            return [commit.title for commit in HfApi().list_repo_commits(repo)]

        every_save, end, checkpoint = sys.argv[1:]
        pushed = titles(every_save, "every_save")
        assert pushed[0] == "End of training"
        assert [title for title in pushed if title.startswith("Training in progress")] == [
            "Training in progress, step 4", "Training in progress, step 2"]
        assert not [title for title in titles(end, "end") if title.startswith("Training in progress")]

        trainer(checkpoint, "checkpoint", steps=2).train()
        elsewhere = snapshot_download(checkpoint, allow_patterns="last-checkpoint/*", local_dir="elsewhere")
        resumed = trainer(checkpoint, "checkpoint")
        for weight in resumed.model.parameters():
            weight.data.zero_()  # what follows can only come from the checkpoint
        resumed.train(resume_from_checkpoint=f"{elsewhere}/last-checkpoint")
        check_weights(resumed.model, every_save)  # as if it had never been interrupted
        """,
        *(new_name() for _ in range(3)),
        PYTHONPATH=str(ROOT / "tests"),
    )
