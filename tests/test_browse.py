"""inspect: rows of a repo in the terminal, marked, one after the other, and nothing in them is obeyed."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import rows
from rich.console import Console

from pipelines import browse, hub
from pipelines.browse import entry, page
from pipelines.errors import StageError
from pipelines.hub import Hub, part
from pipelines.records import RECORDS, Conversation, Failure, Message, Prompt, Result

ROOT = Path(__file__).parent.parent
ESCAPES = "\x1b[2J\x1b]0;taken\x07\x9b31m\u202e\r"


def conversation(number: int, reason: str | None, thought: str, language: str = "ru") -> Conversation:
    response = f"<think>\n{thought}\n</think>\n\nОтвет: $x = {number}$"
    return Conversation(
        id=f"{language}{number}",
        language=language,
        messages=(Message(role="user", content="?"), Message(role="assistant", content=response)),
        prompt=rows.prompt(number, language),
        candidate="c",
        teacher="t",
        teacher_revision="r",
        outcome="right",
        scores=(),
        tokens=12,
        reason=reason,
    )


@pytest.fixture(scope="module")
def there(hub_server: str) -> Hub:
    return hub.connect(None)


@pytest.fixture(scope="module")
def repo(there: Hub) -> str:
    """A data set as *choose* publishes it: two chosen in Russian, one in German, one rejected."""
    name = there.repo("t-browse")
    there.create(name, "dataset", private=False)
    chosen = [
        conversation(1, None, "Подумаем. Let us think about it in English now."),
        conversation(2, None, "Считаем."),
    ]
    files = dict(
        [
            part("data", Conversation, chosen, "ru"),
            part("data", Conversation, [conversation(3, None, "Wir rechnen das jetzt aus.", "de")], "de"),
            part("rejected", Conversation, [conversation(4, "structure: loop", "Опять.")], "ru"),
        ]
    )
    there.publish(name, "dataset", "rows", {**files, "run/choose.json": b"{}"})
    return name


def shown(there: Hub, repo: str, language: str | None = None, rejected: bool = False, search: str = "") -> str:
    console = Console(file=io.StringIO(), width=200)
    browse.inspect(there, repo, language, rejected, search, console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_rows_are_shown_with_the_other_language_named(there: Hub, repo: str) -> None:
    text = shown(there, repo)
    assert "Let us think about it in English now‹en›" in text
    assert [name in text for name in ("ru1", "ru2", "de3", "ru4")] == [True, True, True, False]


def test_rejected_rows_tell_the_reason(there: Hub, repo: str) -> None:
    text = shown(there, repo, rejected=True)
    assert "structure: loop" in text
    assert "ru1" not in text


def test_a_language_and_a_text_choose_among_rows(there: Hub, repo: str) -> None:
    assert "ru1" not in shown(there, repo, language="de")
    text = shown(there, repo, search="СЧИТАЕМ")
    assert ("ru2" in text, "ru1" in text) == (True, False)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ({"language": "xx"}, "languages there: de, ru"),
        ({"search": "no such text"}, "no such row in data"),
        ({"repo": "nobody/nothing"}, "no data set nobody/nothing"),
    ],
)
def test_what_is_not_there_is_one_line(there: Hub, repo: str, which: dict[str, str], said: str) -> None:
    with pytest.raises(StageError, match=said):
        shown(there, **{"repo": repo, **which})  # pyright: ignore[reportArgumentType]


def test_nothing_in_a_row_reaches_the_terminal_as_a_command() -> None:
    prompt = rows.prompt(1).model_copy(
        update={"text": ESCAPES, "defects": (ESCAPES,), "id": ESCAPES, "language": ESCAPES}
    )
    answer = rows.result("base", 1, False, reasoning=ESCAPES, answer=f"[red]{ESCAPES}", benchmark=ESCAPES, gold=ESCAPES)
    console = Console(file=io.StringIO(), force_terminal=True, width=300, color_system=None, _environ={})
    for row in (prompt, answer):
        for one in browse.rendered(entry(row)):
            console.print(one)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert not set(ESCAPES) - set("[2J]0;taken31m") & set(text)
    assert "\\x1b[2J\\x1b]0;taken\\x07" in text
    assert "[red]" in text


def test_colours_mark_what_is_foreign_and_what_is_masked() -> None:
    answer = rows.result("base", 1, False, reasoning="Let us think about it in English now.", answer="Ответ: $x = 3$")
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system="standard", _environ={})
    for one in browse.rendered(entry(answer)):
        console.print(one)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "\x1b[30;43mLet us think" in text
    assert "\x1b[2m$x = 3$" in text


def test_on_a_terminal_each_row_waits_and_no_more_are_read_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()

    def rows_of_a_million() -> Iterator[browse.Entry]:
        for number in range(1_000_000):
            read.append(number)
            yield entry(rows.prompt(number))

    answers = iter(["", "q"])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert page(rows_of_a_million(), console) == 2
    assert len(read) <= 3


@pytest.mark.parametrize("record", [Prompt, Conversation, Result])
def test_every_stage_s_rows_can_be_shown(record: type) -> None:
    samples = {Prompt: rows.prompt(1), Conversation: conversation(1, None, "Да."), Result: rows.result("a", 1, True)}
    assert entry(samples[record]).language == "ru"
    assert set(RECORDS.values()) > {record}
    with pytest.raises(TypeError):
        entry(Failure(id="1", stage="s", language="ru", error="e", message="m", attempts=1))


def test_the_command_line_shows_rows_without_a_token(repo: str) -> None:
    command: Sequence[str] = [
        sys.executable,
        "-m",
        "pipelines",
        "inspect",
        repo,
        "--language",
        "ru",
        "--search",
        "english",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "ru1" in ended.stdout
    assert "ru2" not in ended.stdout
