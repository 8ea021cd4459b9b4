"""Made-up rows, for tests that need any."""

from pipelines.records import Prompt


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
