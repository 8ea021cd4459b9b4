"""Made-up rows, for tests that need any."""

from typing import Any

from pipelines.records import Prompt, Result


def prompt(number: int, language: str = "ru") -> Prompt:
    return Prompt(
        id=f"{number:016x}",
        language=language,
        text=f"Сколько будет {number} + 1?",
        source_text="",
        source_language="ru",
        dataset="made/up",
        source_row=str(number),
        family="sum",
        gold=str(number + 1),
        translator=None,
        defects=(),
    )


def result(way: str, item: int, joint: bool, sample: int = 0, **changed: Any) -> Result:
    values: dict[str, Any] = {
        "model": "m",
        "model_revision": "r",
        "way": way,
        "benchmark": "b",
        "family": "f",
        "language": "ru",
        "item": str(item),
        "question": "?",
        "gold": "1",
        "sample": sample,
        "reasoning": "",
        "answer": "",
        "defects": (),
        "finish_reason": "stop",
        "completion_tokens": 100,
        "valid_think": True,
        "think_language": "ru",
        "think_strict": joint,
        "answer_in_language": True,
        "output_language": "ru",
        "output_strict": False,
        "extracted": None,
        "outcome": "right" if joint else "wrong",
        "correct": joint,
        "joint": joint,
        "switches": 0,
        "source_row": str(item),
    } | changed
    return Result(id=f"{way}{item}{sample}{values['language']}", **values)
