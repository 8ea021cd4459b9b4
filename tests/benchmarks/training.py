"""Tokens a second in training, beside plain TRL and LLaMA-Factory with equal settings on the same rows.

    python tests/benchmarks/training.py STUDENT [--rows 24] [--batch 4] [--llamafactory .../bin/llamafactory-cli]

STUDENT is a folder with weights. LoRA on all linear layers in bf16, one epoch, on the device that torch finds. The rows
are our own word problems; their lengths are log-normal, as those of chains are, and skewed, so that a batch is
mostly padding where it is padded. Tokens count without padding, and the loading of the model does not count. All take
turns in one run, each in a process of its own; the figure is the best of the rounds.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines import problems
from pipelines.chains import join
from pipelines.training.job import Job, Report, Row

ROOT = Path(__file__).parents[2]
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
LENGTH = 2048


def made(count: int) -> Iterator[Row]:
    draw = random.Random(3)  # noqa: S311 - repeatable, not secret
    pool = list(islice(problems.problems(problems.FAMILIES, 0), 500))
    for number in range(count):
        length = min(4500, draw.lognormvariate(5.9, 1.1))  # characters
        problem, chain = draw.choice(pool), ""
        while len(chain) < length:
            chain += draw.choice(pool).texts["ru"] + "\n"
        messages = (
            {"role": "user", "content": problem.texts["ru"]},
            {"role": "assistant", "content": join(chain, f"Ответ: {problem.gold}")},
        )
        yield Row(id=str(number), language="ru", messages=messages)


def settings(batch: int) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": batch,
        "num_train_epochs": 1,
        "learning_rate": 3e-4,
        "max_length": LENGTH,
        "logging_steps": 1,
        "report_to": "none",
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def ours(student: str, folder: Path, rows: Path, batch: int, **changes: object) -> tuple[int, float]:
    job = Job(
        name="benchmark", student=student, student_repo="a/b", student_revision="0", rows=str(rows),
        output=str(folder / "model"), template=None, lora=LORA, cut=0.0, seed=0, sft={**settings(batch), **changes},
    )  # fmt: skip
    (folder / "job.json").write_text(job.model_dump_json(), "utf-8")
    quietly([sys.executable, "-m", "pipelines.training", str(folder / "job.json")])
    report = Report.model_validate_json(job.report.read_text("utf-8"), strict=False)
    return report.tokens, report.seconds


def trl(student: str, folder: Path, rows: Path, batch: int) -> tuple[int, float]:
    quietly([sys.executable, __file__, "--trl", student, str(rows), str(folder / "done.json"), str(batch)])
    tokens, seconds = json.loads((folder / "done.json").read_text("utf-8"))
    return tokens, seconds


def plain_trl(student: str, rows: str, done: str, batch: str) -> None:
    """What TRL's documentation tells: prompts and completions, and its own preparation."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    turns = [json.loads(line)["messages"] for line in Path(rows).read_text("utf-8").splitlines()]
    trainer = SFTTrainer(
        model=student,
        args=SFTConfig(
            str(Path(done).with_name("trl")),
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            model_init_kwargs={"dtype": "bfloat16"},
            **settings(int(batch)),
        ),
        train_dataset=Dataset.from_list([{"prompt": row[:-1], "completion": row[-1:]} for row in turns]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA),
    )
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    tokens = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry][-1]
    Path(done).write_text(json.dumps([int(tokens), seconds]), "utf-8")


def llamafactory(cli: str, student: str, folder: Path, rows: Path, batch: int, tokens: int) -> tuple[int, float]:
    turns = [json.loads(line)["messages"] for line in rows.read_text("utf-8").splitlines()]
    (folder / "rows.json").write_text(json.dumps([{"messages": row} for row in turns]), "utf-8")
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    described = {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    (folder / "dataset_info.json").write_text(json.dumps({"rows": described}), "utf-8")
    told = {
        "model_name_or_path": student, "stage": "sft", "do_train": True, "finetuning_type": "lora",
        "lora_rank": 16, "lora_alpha": 32, "lora_target": "all", "dataset": "rows", "dataset_dir": str(folder),
        "template": "qwen", "cutoff_len": LENGTH, "output_dir": str(folder / "lf"), "bf16": True, "use_cpu": True,
        "per_device_train_batch_size": batch, "num_train_epochs": 1, "learning_rate": 3e-4, "report_to": "none",
        "disable_gradient_checkpointing": True, "flash_attn": "sdpa", "logging_steps": 1, "save_strategy": "no",
        "overwrite_cache": True,
    }  # fmt: skip
    (folder / "lf.json").write_text(json.dumps(told), "utf-8")
    quietly([cli, "train", str(folder / "lf.json")])
    found = json.loads((folder / "lf" / "train_results.json").read_text("utf-8"))
    return tokens, found["train_runtime"]


def quietly(command: list[str]) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        raise SystemExit(ended.stdout[-2000:] + ended.stderr[-3000:])


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("student")
    asked.add_argument("--rows", type=int, default=24)
    asked.add_argument("--batch", type=int, default=4)
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--llamafactory")
    given = asked.parse_args()
    best: dict[str, float] = {}
    with TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        rows.write_text("".join(row.model_dump_json() + "\n" for row in made(given.rows)), "utf-8")
        for number in range(given.rounds):
            folder = Path(name) / str(number)
            works = {
                "TRL, padded": lambda f: trl(given.student, f, rows, given.batch),
                "ours, padded": lambda f: ours(given.student, f, rows, given.batch, packing=False),
                "ours, padding-free": lambda f: ours(
                    given.student, f, rows, given.batch, packing=False, padding_free=True
                ),
                "ours, packed": lambda f: ours(given.student, f, rows, 1, packing=True),
            }
            tokens = 0
            for what, work in works.items():
                (folder / what).mkdir(parents=True)
                tokens, seconds = work(folder / what)
                best[what] = max(best.get(what, 0.0), tokens / seconds)
            if given.llamafactory:
                (folder / "lf").mkdir(parents=True)
                tokens, seconds = llamafactory(
                    given.llamafactory, given.student, folder / "lf", rows, given.batch, tokens
                )
                best["LLaMA-Factory, padded"] = max(best.get("LLaMA-Factory, padded", 0.0), tokens / seconds)
    print(f"{given.rows} rows, {tokens} tokens, batches of {given.batch}")
    for what, speed in best.items():
        print(f"{what:<24} {speed:>8,.0f} tokens/s  {speed / best['TRL, padded']:.2f}")


if __name__ == "__main__":
    if sys.argv[1] == "--trl":
        plain_trl(*sys.argv[2:])
    else:
        main()
