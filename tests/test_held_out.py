"""held_out: the items that are asked, and a name and a reason for each that is not."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
import yaml
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines import held_out, hub, recipes
from pipelines.recipe import Recipe
from pipelines.run import Run
from pipelines.screen import Screen
from tests.test_recipe import TREE

ROOT = Path(__file__).parent.parent
QUESTIONS = {
    "ru": [("В саду 12 яблонь и 7 груш. Сколько всего?", "19"), ("Сколько ног у 3 кошек?", "12")],
    "en": [("There are 12 apple trees and 7 pear trees in the garden. How many?", "19"), ("How many legs?", "12")],
}


@pytest.fixture(scope="module")
def school(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A benchmark with a config, and with a file, for each language."""
    connected, folder = hub.connect(None), tmp_path_factory.mktemp("school")
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {language}\n  data_files:\n  - {{split: test, path: {language}.csv}}\n"
        for language in QUESTIONS
    )
    files: dict[str, bytes | Path] = {"README.md": f"{card}---\n".encode()}
    for language, rows in QUESTIONS.items():
        (folder / f"{language}.csv").write_text(
            "question,answer\n" + "".join(f'"{question}",{answer}\n' for question, answer in rows), "utf-8"
        )
        files[f"{language}.csv"] = folder / f"{language}.csv"
    connected.create("school/exam", "dataset", private=False)
    connected.publish("school/exam", "dataset", "an exam", files)
    return "school/exam"


def exam(**changed: Any) -> dict[str, Any]:
    source = {"kind": "hub", "id": "school/exam", "config": "{language}", "split": "test", "text": "question"}
    source |= {"gold": "answer", "language": "{language}"}
    outer = {key: changed.pop(key) for key in ("name", "languages", "prompt", "answer") if key in changed}
    return {"name": "exam", "languages": ["en", "ru"], "answer": "number", "source": source | changed, **outer}


def loaded(*entries: object, languages: tuple[str, ...] = ("ru",)) -> tuple[held_out.HeldOut, str, Run]:
    tree = yaml.safe_load(yaml.safe_dump(TREE)) | {"languages": list(languages)}
    tree["evaluate"]["benchmarks"] = list(entries)
    console = Console(file=io.StringIO(), width=500)
    run = Run(Recipe.model_validate(tree), hub.connect(None), Screen(console))
    found = held_out.load(run)
    assert isinstance(console.file, io.StringIO)
    return found, console.file.getvalue(), run


def test_a_benchmark_is_asked_in_the_recipes_languages_alone(school: str) -> None:
    found, told, _ = loaded(exam(), languages=("ru", "uk"))
    assert sorted(asked.question for asked in found.items) == sorted(text for text, _ in QUESTIONS["ru"])
    assert (found.skipped, told) == ((), "")


def test_one_without_any_of_the_languages_is_named(school: str) -> None:
    found, told, _ = loaded(exam(), languages=("uk",))
    assert found.items == ()
    assert "exam: not asked: it has none of the recipe's languages, but en, ru" in told


def test_one_that_is_not_there_is_named_on_the_screen_and_the_others_are_asked(school: str) -> None:
    found, told, _ = loaded(exam(name="gone", id="school/nothing"), exam())
    assert {asked.benchmark.name for asked in found.items} == {"exam"}
    assert [str(one) for one in found.skipped] == [told.strip()]
    assert told.startswith("gone: not asked: ")
    assert "school/nothing" in told


def test_a_gold_answer_of_the_wrong_kind_is_counted_and_not_asked(school: str) -> None:
    found, told, _ = loaded(exam(gold="question"))
    assert [asked.question for asked in found.items] == ["Сколько ног у 3 кошек?"]
    assert "exam (ru): 1 items not asked: the gold answer is no number" in told


@pytest.mark.parametrize(
    ("gold", "kind", "good"),
    [("12", "number", True), ("1,250", "number", True), ("x+1", "number", False), ("", "number", False),
     ("B", "option", True), ("(C)", "option", True), ("12", "option", False), ("BC", "option", False),
     (r"\frac{1}{2}", "expression", True), (None, "expression", False)],
)  # fmt: skip
def test_what_a_gold_answer_can_be(gold: str | None, kind: str, good: bool) -> None:
    assert held_out.is_answer(gold, kind) == good


def test_the_prompt_of_a_benchmark_stands_around_the_question(school: str) -> None:
    found, _, _ = loaded(exam(prompt={"ru": "Задача: $text\nОтвет числом, не в $."}))
    assert found.items[0].question.startswith("Задача: ")
    assert found.items[0].question.endswith("Ответ числом, не в $.")


def test_a_file_for_each_language_and_the_only_split_need_no_config(school: str) -> None:
    found, _, _ = loaded(exam(config=None, files="{language}.csv", split=None))
    assert len(found.items) == 2


def test_an_id_without_a_namespace_is_the_accounts_own(school: str) -> None:
    _, told, run = loaded(exam(name="own", id="exam"))
    assert f"{run.hub.namespace}/exam" in told


def test_the_english_rows_are_compared_too_though_only_russian_is_asked(school: str) -> None:
    found, _, run = loaded(exam())
    index = found.index(run)
    for texts in QUESTIONS.values():
        assert index.find(texts[0][0])
    russian, english = (index.find(texts[0][0]) for texts in QUESTIONS.values())
    assert russian
    assert english
    assert russian.name == english.name  # the same row


def test_the_data_sets_that_were_read_are_pinned_and_those_that_cannot_be_are_not(school: str) -> None:
    _, _, run = loaded(exam(), exam(name="gone", id="school/nothing"))
    assert [(read.repo, len(read.revision)) for read in held_out.inputs(run)] == [(school, 40)]


# --- a data set behind a gate: the Hub shows that it is there, and refuses its files


@contextmanager
def gated(target: str) -> Iterator[str]:
    """The Hub with a gate in front of the files of every data set, as huggingface.co answers there."""

    async def forward(request: Request) -> Response:
        if "/resolve/" in request.url.path:
            told = "Access to dataset school/exam is restricted. You must have access to it and be authenticated."
            return Response(told, 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": told})
        headers = {key: value for key, value in request.headers.items() if key not in ("host", "accept-encoding")}
        async with httpx2.AsyncClient() as client:
            url = f"{target}{request.url.path}?{request.url.query}"
            answer = await client.request(request.method, url, headers=headers, content=await request.body())
        kept = {
            key: value for key, value in answer.headers.items() if key not in ("content-length", "content-encoding")
        }
        return Response(answer.content, answer.status_code, kept)

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "HEAD", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    started, startup = threading.Event(), server.startup

    async def startup_then_tell(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = startup_then_tell
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


LOOK = """
import sys
from pipelines import held_out, hub, recipes
from pipelines.run import Run
from pipelines.screen import Screen
found = held_out.load(Run(recipes.load(sys.argv[1]), hub.connect(None), Screen()))
print(len(found.items), "asked")
"""


def test_a_gated_data_set_is_told_and_skipped(school: str, hub_server: str, tmp_path: Path) -> None:
    tree = yaml.safe_load(yaml.safe_dump(TREE)) | {"languages": ["ru"]}
    tree["evaluate"]["benchmarks"] = [exam(), {"use": "procedural", "rows": 3}]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    assert recipes.load(str(tmp_path / "recipe.yaml"))
    with gated(hub_server) as endpoint:
        # the client reads its endpoint once, at import: so in a process of its own
        asked = subprocess.run(
            [sys.executable, "-c", LOOK, str(tmp_path / "recipe.yaml")],
            cwd=ROOT,
            env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert asked.returncode == 0, asked.stderr
    assert "exam: not asked: school/exam: " in asked.stdout
    assert "gated" in asked.stdout
    assert asked.stdout.rstrip().endswith("3 asked")
