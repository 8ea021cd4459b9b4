"""Rows stream through the stages: what is in memory does not grow with the data set."""

import gc
import io
import math
from collections.abc import Callable
from itertools import count

import pytest
from rich.console import Console
from rows import prompt

from pipelines import cores, formats, hub
from pipelines.facts import Counts, Facts
from pipelines.flow import Placed
from pipelines.flow.journal import Journal
from pipelines.hub import part
from pipelines.recipe import Recipe
from pipelines.records import Candidate, Row, digest
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.stages import choose, judge

MANY, IN_A_PART = 4_000, 500
SAMPLES = 4


@pytest.fixture
def candidates(hub_server: str, name: str) -> Callable[[int], Run]:
    """A run for which so many candidates are there to be judged."""
    connected = hub.connect(None)
    source = {"kind": "problems", "families": ["ages"], "rows": 1}

    def published(many: int) -> Run:
        recipe = {
            "name": name,
            "languages": ["ru"],
            "engines": {"e": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:1/v1"}},
            "prompts": {"sources": [source]},
            "generate": {"engine": "e", "samples": SAMPLES},
            "choose": {"unverified": True},
            "checkpoints": {"rows": 300},
            "train": {"student": "a/b"},
            "evaluate": {
                "engine": "e",
                "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": source}],
            },
        }
        run = Run(Recipe.model_validate(recipe), connected, Screen(Console(file=io.StringIO())))
        counts = {"ru": {"generated": many, "finished": many}}
        told = Facts(stage="generate", recipe=name, digest="d", complete=True, inputs=(), counts=counts)
        files = dict(
            part("data", Candidate, [candidate(number) for number in range(start, start + IN_A_PART)], "ru")
            for start in range(0, many, IN_A_PART)
        )
        connected.create(run.candidates, "dataset", private=False)
        connected.publish(
            run.candidates, "dataset", "x", {**files, "run/generate.json": told.model_dump_json().encode()}
        )
        return run

    return published


def candidate(number: int) -> Candidate:
    asked = prompt(number // SAMPLES)
    return Candidate(
        id=digest("c", number), prompt=asked, sample=number % SAMPLES, seed=number,
        reasoning=f"К числу {asked.source_row} прибавим один и получим ответ.", answer=f"Ответ: {asked.gold}",
        defects=(), finish_reason="stop", prompt_tokens=10, completion_tokens=20 + number % 7, engine="openai",
        model="m", model_revision="", payload="p",
    )  # fmt: skip


def test_judge_and_choose_hold_few_rows_at_a_time_however_many_there_are(
    candidates: Callable[[int], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "WORTH", math.inf)  # all in this process, where it is seen
    monkeypatch.setattr(formats, "AT_ONCE", 50)
    write, written, alive = Journal.write, count(), list[int]()

    def counting(journal: Journal[Row], placed: Placed[Row], counts: Counts) -> None:
        write(journal, placed, counts)
        if next(written) % (MANY // 8) == MANY // 8 - 1:
            alive.append(sum(isinstance(one, Row) for one in gc.get_objects()))

    monkeypatch.setattr(Journal, "write", counting)
    run = candidates(MANY)
    for stage in (judge, choose):
        alive.clear()
        stage.run(run)
        assert len(alive) == 8
        assert max(alive) < MANY // 5, (stage.__name__, alive)
