"""Rows to train a tiny student on, and the job that says so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.chains import join
from pipelines.training.job import Job, Row

QUESTION = "У Ани {} яблок, ей дали ещё {}. Сколько стало?"
REASONING = "Было {}, дали {}. Складываем: всё верно."
TINY: Mapping[str, Any] = {
    "per_device_train_batch_size": 4,
    "num_train_epochs": 1,
    "learning_rate": 1e-3,
    "max_length": 512,
    "report_to": "none",
}


def rows(count: int = 8, length: int = 1, language: str = "ru") -> list[Row]:
    return [
        Row(
            id=f"row{i}",
            language=language,
            messages=(
                {"role": "user", "content": QUESTION.format(i, i + 1)},
                {
                    "role": "assistant",
                    "content": join(" ".join([REASONING.format(i, i + 1)] * length), f"Ответ: {2 * i + 1}"),
                },
            ),
        )
        for i in range(count)
    ]


def write_job(student: Path, folder: Path, given: Sequence[Row] = (), **changes: Any) -> Job:
    values = {
        "name": "lessons",
        "student": str(student),
        "student_repo": "someone/student",
        "student_revision": "0" * 40,
        "rows": str(folder / "rows.jsonl"),
        "output": str(folder / "model"),
        "template": None,
        "lora": None,
        "cut": 0.0,
        "seed": 0,
        "sft": TINY,
    }
    made = Job.model_validate(values | changes)
    folder.mkdir(exist_ok=True)
    Path(made.rows).write_text("".join(row.model_dump_json() + "\n" for row in given or rows()), "utf-8")
    (folder / "job.json").write_text(made.model_dump_json(), "utf-8")
    return made
