"""A Hub that misbehaves, processes that die at any moment, several that share the work: in the end every row is there
once."""

import asyncio
import multiprocessing
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_proxy import Plan, proxied
from huggingface_hub import HfApi
from llm_server import Script, serving
from rows import prompt
from test_flow import failing, failures, good, history, ids, items, opened, published, start, told, work

from pipelines import hub
from pipelines.errors import HubAway, PublishConflict, StageError
from pipelines.flow import Placed, each
from pipelines.hub import Hub
from pipelines.recipe import Recipe
from pipelines.records import Candidate, Prompt
from pipelines.run import Run, Shard, cache
from pipelines.screen import Screen
from pipelines.stages import generate, prompts

__all__ = ["start"]
FAULTS = ("412", "429", "500", "lost", "answer-lost")
KILLS = 30
PARALLEL = 4


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which are only written down."""
    found = list[float]()
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def behind(run: Run, address: str) -> Run:
    """The same run, with the Hub at another address."""
    api = HfApi(endpoint=address, token=run.hub.api.token)
    return Run(run.recipe, Hub(api, run.hub.namespace), run.screen, run.shard)


def journals(run: Run) -> list[Path]:
    """The segments that hold rows of this run's repos."""
    folders = cache("journals").glob(f"*--{run.recipe.name}-*")
    return [path for folder in folders for path in folder.rglob("*.jsonl") if path.stat().st_size]


# --- a Hub that misbehaves


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_in_each_commit_loses_nothing_and_repeats_nothing(fault: str, start: Callable[..., Run]) -> None:
    run = start(checkpoints={"rows": 3})
    plan = Plan(faults=[fault, "good"] * 9)
    with proxied(run.hub.api.endpoint, plan) as address:
        done, facts = work(behind(run, address), range(8), parallel=1)
    assert done == list(range(8))
    assert published(run) == ids(range(8))
    assert history(run) == ["prompts: checkpoint", "prompts: checkpoint", "prompts: complete"]
    assert plan.spoiled >= 2
    assert (facts.complete, facts.counts) == (True, {"ru": {"sampled": 8}})


def test_any_series_of_faults_loses_nothing_and_repeats_nothing(start: Callable[..., Run]) -> None:
    seed = int(os.environ.get("FAULT_SEED", secrets.randbits(32)))
    print(f"FAULT_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - faults, not secrets
    plan = Plan(faults=[chance.choice((*FAULTS, "good")) for _ in range(40)])
    run = start(checkpoints={"rows": 2})
    with proxied(run.hub.api.endpoint, plan) as address:
        _, facts = work(behind(run, address), range(15))
    assert published(run) == ids(range(15))
    assert facts.counts == {"ru": {"sampled": 15}}


def test_a_hub_that_stays_away_during_the_work_costs_no_row_and_stops_nothing(start: Callable[..., Run]) -> None:
    run = start(checkpoints={"rows": 2})
    plan = Plan(always="500")
    with proxied(run.hub.api.endpoint, plan) as address, opened(behind(run, address)) as output:
        asyncio.run(each(output.open(items(range(6))), good, 1, output))
        assert published(run) == []
        plan.always = None
        output.finish()
    assert published(run) == ids(range(6))
    assert journals(run) == []


def test_a_last_commit_that_fails_is_made_by_the_next_run_without_any_work(start: Callable[..., Run]) -> None:
    run, plan = start(), Plan(always="lost")
    with proxied(run.hub.api.endpoint, plan) as address:
        with pytest.raises(HubAway, match="run the stage again"):
            work(behind(run, address), range(5))
        assert published(run) == []
        plan.always = None
        done, facts = work(behind(start(), address), range(5))
    assert done == []
    assert published(run) == ids(range(5))
    assert (facts.complete, facts.counts) == (True, {"ru": {"sampled": 5}})
    assert journals(run) == []


def test_a_busy_hub_is_asked_again_when_it_said(start: Callable[..., Run], waited: list[float]) -> None:
    run = start()
    plan = Plan(faults=["429"], headers={"ratelimit": '"api";r=0;t=55'})
    with proxied(run.hub.api.endpoint, plan) as address:
        work(behind(run, address), range(1))
    assert waited == [56]


def test_rows_that_came_by_another_commit_meanwhile_are_not_published_twice(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when a process dies while its commit is under way, and the next has read the branch by the time it lands."""
    run = start()
    with opened(run) as output:
        assert list(output.open(items(range(6))))
        for number in range(4):
            output.add(Placed(prompt(number), "ru"))
        with monkeypatch.context() as patch:
            patch.setenv("THINKIN_CACHE", str(tmp_path))
            with opened(run) as other:
                other.open(items(range(2)))
                for number in range(2):
                    other.add(Placed(prompt(number), "ru"))
                other.checkpoint()
        output.finish()
    assert published(run) == ids(range(4))
    assert told(run).counts == {"ru": {"sampled": 4}}


def test_a_commit_by_hand_in_between_stays_and_stops_nothing(start: Callable[..., Run]) -> None:
    run = start()
    with opened(run) as output:
        assert list(output.open(items(range(2))))
        output.add(Placed(prompt(0), "ru"))
        run.hub.publish(run.prompts, "dataset", "by hand", {"notes.txt": b"of a person"})
        output.finish()
    assert published(run) == ids([0])
    snapshot = run.hub.snapshot(run.prompts, "dataset")
    assert snapshot
    assert "notes.txt" in snapshot.files


def test_another_recipe_at_the_same_time_is_refused_and_both_keep_their_rows(start: Callable[..., Run]) -> None:
    run = start()
    with opened(run) as output:
        assert list(output.open(items(range(2))))
        output.add(Placed(prompt(0), "ru"))
        work(start(source_rows=9), range(5, 7))
        with pytest.raises(PublishConflict, match="run one after the other"):
            output.finish()
    assert published(run) == ids(range(5, 7))
    assert len(journals(run)) == 1
    assert work(start(), range(2))[0] == [1]
    assert published(run) == ids(range(2))


# --- processes that die


def child(recipe: dict[str, object], stage: str) -> None:
    run = Run(Recipe.model_validate(recipe), hub.connect(None), Screen())
    {"prompts": prompts, "generate": generate}[stage].run(run)


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["pipelines.stages.generate", "pipelines.stages.prompts", "pipelines.llm.openai_door", "openai"]
)


def test_no_kill_loses_or_repeats_a_sample_that_was_made(hub_server: str, name: str) -> None:
    """A process is killed again and again, at any moment, until 30 have died; the last one ends the work."""
    seed = int(os.environ.get("KILL_SEED", secrets.randbits(32)))
    print(f"KILL_SEED={seed}")
    moments = random.Random(seed)  # noqa: S311 - moments, not secrets
    script, progress = Script(otherwise="<think>\nСчитаем.\n</think>\n\nОтвет: 1", delay=0.01), list[int]()
    with serving(script) as url:
        recipe = small(name, url, rows=80, samples=10)
        assert once(recipe, "prompts") == 0
        while len(progress) < KILLS:
            script.asked.clear()
            at_work = script.asked if len(progress) % 5 else None  # one in five dies before, or so
            if once(recipe, "generate", moments.uniform(0, 0.3), at_work) is not None:
                break
            progress.append(len(script.requests))
        assert once(recipe, "generate") == 0
    run = Run(Recipe.model_validate(recipe), hub.connect(None), Screen())
    snapshot = run.hub.need(run.candidates, "dataset", "generate")
    rows = list(run.hub.rows(snapshot, Candidate))
    asked_for = [row.id for row in run.hub.rows(run.hub.need(run.prompts, "dataset", "prompts"), Prompt)]
    wanted = {(prompt_id, number) for prompt_id in asked_for for number in range(10)}
    assert len(progress) == KILLS
    assert len(set(progress)) > KILLS // 3  # many died at work, the others before it
    assert Counter((row.prompt.id, row.sample) for row in rows) == dict.fromkeys(wanted, 1)
    assert snapshot.facts
    assert snapshot.facts.counts == {"ru": {"generated": 800, "finished": 800}}
    assert len(rows) <= snapshot.facts.usage.requests <= len(script.requests) + len(script.probes)
    asked = Counter(request["seed"] for request in script.requests if request["seed"] in {row.seed for row in rows})
    assert asked.total() - len(rows) <= KILLS * PARALLEL  # what was under way when its process died, and no more
    assert journals(run) == []


def small(name: str, url: str, rows: int, samples: int) -> dict[str, object]:
    source = {"kind": "problems", "families": ["ages"], "rows": rows}
    return {
        "name": name,
        "languages": ["ru"],
        "engines": {"e": {"kind": "openai", "model": "m", "url": url, "parallel": PARALLEL}},
        "prompts": {"sources": [source]},
        "generate": {"engine": "e", "samples": samples},
        "checkpoints": {"rows": 25},
        "train": {"student": "a/b"},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": source}],
        },
    }


def once(
    recipe: dict[str, object], stage: str, seconds: float | None = None, after: threading.Event | None = None
) -> int | None:
    """Run a stage in a process of its own; its exit code, or None where it was killed, so long after an event."""
    process = FORKS.Process(target=child, args=(recipe, stage))
    process.start()
    while after and process.is_alive() and not after.wait(0.05):
        pass
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


# --- shards


def shares(start: Callable[..., Run], number: int, of: int, **changed: object) -> Run:
    run = start(**changed)
    return Run(run.recipe, run.hub, run.screen, Shard(number, of))


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_the_rows_are_the_same_for_any_number_of_shards(of: int, start: Callable[..., Run]) -> None:
    made = [work(shares(start, number, of), range(40))[0] for number in range(1, of + 1)]
    assert sorted(one for share in made for one in share) == list(range(40))
    assert published(start()) == ids(range(40))
    assert told(start()).counts == {"ru": {"sampled": 40}}
    assert told(start()).complete


def test_shards_that_race_write_files_of_their_own_and_the_last_completes_the_stage(start: Callable[..., Run]) -> None:
    together = threading.Barrier(4)

    def one(number: int) -> bool:
        run = shares(start, number, 4, checkpoints={"rows": 2})
        together.wait(10)
        return work(run, range(40), failing(*range(0, 40, 10)))[1].complete

    with ThreadPoolExecutor(4) as pool:
        completed = list(pool.map(one, range(1, 5)))
    run = start(checkpoints={"rows": 2})
    bad = list(range(0, 40, 10))
    assert completed.count(True) == 1
    assert published(run) == ids(set(range(40)) - set(bad))
    assert sorted(row.id for row in failures(run)) == ids(bad)
    facts = told(run)
    assert (facts.complete, facts.failures, facts.counts) == (True, 4, {"ru": {"sampled": 36}})
    assert facts.shards == ("1/4", "2/4", "3/4", "4/4")
    commits = run.hub.api.list_repo_commits(run.prompts, repo_type="dataset")
    assert len({commit.message for commit in commits[:-1]}) == len(commits) - 1
    assert all(commit.title.startswith("prompts ") for commit in commits[:-1])


def test_a_stage_with_a_shard_missing_is_no_input_of_the_next(start: Callable[..., Run]) -> None:
    run = shares(start, 1, 2)
    assert not work(run, range(10))[1].complete
    with pytest.raises(StageError, match="not finished"):
        run.hub.need(run.prompts, "dataset", "prompts")
    assert opened(shares(start, 1, 2)).up_to_date()
    assert not opened(shares(start, 2, 2)).up_to_date()
    assert work(shares(start, 2, 2), range(10))[1].complete


def test_one_run_without_shards_completes_what_some_shards_began(start: Callable[..., Run]) -> None:
    first, _ = work(shares(start, 1, 3), range(12))
    rest, facts = work(start(), range(12))
    assert sorted([*first, *rest]) == list(range(12))
    assert facts.complete
    assert facts.counts == {"ru": {"sampled": 12}}


def test_a_shard_removes_no_row_of_another_when_the_recipe_changed(start: Callable[..., Run]) -> None:
    work(start(), range(10))
    for number in (1, 2):
        work(shares(start, number, 2, source_rows=9), range(5, 15))
    assert published(start()) == ids(range(5, 15))
    assert told(start()).counts == {"ru": {"sampled": 10}}


def test_items_of_one_group_go_to_the_same_shard() -> None:
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    for group in map(str, range(100)):
        assert sum(shard.holds(group) for shard in shards) == 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "1/0", "a/b", "-1/2", "1/2/3", "٢/٤", ""])
def test_a_shard_that_is_none_says_how_it_is_given(text: str) -> None:
    with pytest.raises(Exception, match="I/N, such as 2/4"):
        Shard.parse(text)
