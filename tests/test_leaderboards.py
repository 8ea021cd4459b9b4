"""leaderboards.py: what the Hub's own client reads out of our files, and when there is none."""

from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from test_cards import run as plain

from pipelines import leaderboards
from pipelines.estimates import Estimate
from pipelines.facts import Facts, Input
from pipelines.measures import TITLES, Line
from pipelines.recipe import Evaluate
from pipelines.run import Run

TOLD = Facts(
    stage="evaluate",
    recipe="r",
    digest="d",
    complete=True,
    inputs=(Input(repo="school/maths", kind="dataset", revision="c" * 40),),
    updated="2026-11-25T12:00:00+00:00",
)
SOURCE = {"kind": "hub", "id": "school/maths", "text": "q", "language": "ru"}


def run(limit: int | None = None, source: dict[str, Any] = SOURCE, task: str | None = "maths_{language}") -> Run:
    given = plain()
    ways = [
        {"name": name, "model": model, "instruction": "plain.v1"} for name, model in (("b", "base"), ("t", "trained"))
    ]
    benchmark = {"name": "Maths, hard", "source": source, "task": task}
    told = given.recipe.model_dump(mode="json")["evaluate"] | {"ways": ways, "benchmarks": [benchmark]}
    recipe = given.recipe.model_copy(update={"evaluate": Evaluate.model_validate(told), "limit": limit})
    hub: Any = given.hub
    hub.repo = lambda name: name if "/" in name else f"me/{name}"
    hub.address = lambda repo, kind: f"{hub.api.endpoint}/{kind}s/{repo}"
    return Run(recipe, hub, given.screen)


def lines(mean: float = 0.62) -> list[Line]:
    values = dict.fromkeys(TITLES, Estimate(mean, 0.4, 0.7))
    return [
        Line(way, "Maths, hard", language, 250, 4, values) for way in ("b", "t") for language in ("all", "ru", "de")
    ]


def test_the_trained_model_has_a_result_for_each_language_that_the_client_can_read() -> None:
    found = leaderboards.files(run(), lines(), TOLD)
    assert list(found) == [f".eval_results/thinkin-maths-hard-{language}.yaml" for language in ("ru", "de")]
    (entry,) = parse_eval_result_entries(yaml.safe_load(found[".eval_results/thinkin-maths-hard-ru.yaml"]))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("school/maths", "maths_ru", 62.0)
    assert (entry.dataset_revision, entry.date) == ("c" * 40, TOLD.updated)
    assert entry.source_url == "http://127.0.0.1:8500/datasets/me/demo-results"
    assert entry.notes == "t; mean of 4 samples"


@pytest.mark.parametrize(
    "changed",
    [
        {"limit": 5},
        {"source": {**SOURCE, "rows": 50}},
        {"task": None},
        {"source": {"kind": "problems", "families": ["ages"], "rows": 1}},
    ],
)
def test_what_is_no_result_of_a_whole_benchmark_of_the_hub_has_no_file(changed: dict[str, Any]) -> None:
    assert leaderboards.files(run(**changed), lines(), TOLD) == {}


def test_what_was_not_measured_has_no_file() -> None:
    assert leaderboards.files(run(), lines(float("nan")), TOLD) == {}
