"""How fast rows become tokens, labels and packs, beside the tokenizer alone and beside TRL's own preparation.

    python tests/benchmarks/preparation.py STUDENT [ROWS]

STUDENT is a folder or a repo with a tokenizer. The rows are our own word problems, strung together to chains whose
lengths are log-normal, as those of reasoning models are. The limit is the tokenizer's own `encode_batch` over texts
that were rendered before; every figure is the best of four rounds in which all take turns. That ids and masks are
identical to the template's, rendered and tokenized row by row, and to TRL's, is asserted.
"""

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
sys.path.insert(0, str(Path(__file__).parents[2]))

import datasets
from datasets import Dataset
from transformers import AutoTokenizer
from trl.data_utils import pack_dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipelines import problems
from pipelines.chains import join
from pipelines.training.chat_template import Template, choose, render
from pipelines.training.job import Row
from pipelines.training.preparation import MASKED, Preparation, prepare

MAX_LENGTH = 4096


def main(student: str, count: int) -> None:
    datasets.disable_progress_bars()
    datasets.disable_caching()
    tokenizer = AutoTokenizer.from_pretrained(student)
    rows = list(made(count))
    template = choose(tokenizer, None, [row.messages for row in rows[:8]])
    texts = [whole for _, whole in render(tokenizer, template, [row.messages for row in rows])]
    preparation = Preparation(tokenizer, template, frozenset({tokenizer.eos_token_id}))
    core = tokenizer.backend_tokenizer
    with TemporaryDirectory() as name:
        source, target = Path(name) / "rows.jsonl", Path(name) / "prepared.arrow"
        source.write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")

        def ours() -> Dataset:
            prepare(source, target, preparation, MAX_LENGTH)
            return Dataset.from_file(str(target))

        works: dict[str, Callable[[], Any]] = {
            "the tokenizer alone": lambda: core.encode_batch(texts, add_special_tokens=False),
            "ours": ours,
            "ours, and packs": lambda: pack_dataset(ours().select_columns(["input_ids", "labels"]), MAX_LENGTH),
            "TRL": lambda: trls(rows, tokenizer),
        }
        tokens = sum(len(encoding.ids) for encoding in works["the tokenizer alone"]())
        speeds = {what: tokens / seconds for what, seconds in best(works).items()}
        print(f"{count} rows, {tokens} tokens")
        for what, speed in speeds.items():
            print(f"{what:<20} {speed:>10,.0f} tokens/s  {speed / speeds['the tokenizer alone']:.2f}")
        identical(rows, ours(), trls(rows, tokenizer), tokenizer, template)
        memory(student, source)


def best(works: Mapping[str, Callable[[], Any]], rounds: int = 4) -> dict[str, float]:
    """Seconds of each; they take turns, so that what else the machine does hits all of them."""
    seconds: dict[str, list[float]] = {what: [] for what in works}
    for _ in range(rounds):
        for what, work in works.items():
            started = time.perf_counter()
            work()
            seconds[what].append(time.perf_counter() - started)
    return {what: min(each) for what, each in seconds.items()}


def memory(student: str, source: Path) -> None:
    """The most that a process holds that prepares the rows, and one that prepares them four times over."""
    fourfold = source.with_name("fourfold.jsonl")
    fourfold.write_text(source.read_text("utf-8") * 4, "utf-8")
    for times, rows in ((1, source), (4, fourfold)):
        command = [sys.executable, __file__, student, str(rows)]
        held = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"memory, rows times {times}: {held.strip()}")


def held(student: str, rows: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(student)
    template = Template(tokenizer.get_chat_template(), "", "")
    preparation = Preparation(tokenizer, template, frozenset({tokenizer.eos_token_id}))
    prepare(Path(rows), Path(rows).with_suffix(".arrow"), preparation, MAX_LENGTH)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def made(count: int) -> Iterator[Row]:
    draw = random.Random(0)  # noqa: S311 - repeatable, not secret
    pool = list(islice(problems.problems(problems.FAMILIES, 0), 2000))
    for number in range(count):
        length = min(6000, max(200, draw.lognormvariate(7.6, 0.7)))  # characters
        problem, chain = draw.choice(pool), ""
        while len(chain) < length:
            chain += " ".join(draw.choice(pool).texts["ru"] for _ in range(2)) + "\n"
        messages = (
            {"role": "user", "content": problem.texts["ru"]},
            {"role": "assistant", "content": join(chain, f"Ответ: {problem.gold}")},
        )
        yield Row(id=str(number), language="ru", messages=messages)


def trls(rows: list[Row], tokenizer: Any) -> Dataset:
    """TRL's preparation of prompts and completions, which masks what ours does."""
    conversations = [[dict(m) for m in row.messages] for row in rows]
    table = Dataset.from_list([{"prompt": turns[:-1], "completion": turns[-1:]} for turns in conversations])
    trainer = SFTTrainer.__new__(SFTTrainer)
    trainer.chat_template, trainer._tokenizer, trainer.completion_only_loss = None, tokenizer, True
    arguments = SFTConfig("unused", max_length=MAX_LENGTH, report_to="none", use_cpu=True, bf16=False)
    return trainer._prepare_dataset(table, tokenizer, arguments, False, None, "train")


def identical(rows: list[Row], prepared: Dataset, trl: Dataset, tokenizer: Any, template: Template) -> None:
    for row, ours, theirs in zip(rows, prepared, trl, strict=True):
        turns = [dict(m) for m in row.messages]
        ids = tokenizer.apply_chat_template(turns, chat_template=template.text)["input_ids"][:MAX_LENGTH]
        start = len(tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True)["input_ids"])
        assert ours["input_ids"] == theirs["input_ids"] == ids
        end = len(ids) - ids[::-1].index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids[start:] else len(ids)
        assert ours["labels"] == [MASKED] * start + ids[start:end] + [MASKED] * (len(ids) - end)
        assert ours["labels"][:end] == theirs["labels"][:end]  # TRL trains the line break behind the end, too
    print("ids and masks are the template's, in every row")


if __name__ == "__main__":
    if Path(sys.argv[-1]).is_file():
        held(*sys.argv[1:])
    else:
        main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3000)
