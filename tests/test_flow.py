"""How items become rows of a repo, against a running embedded Hub: resume, checkpoints, failures, changed recipes."""

import asyncio
import io
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import pytest
from rich.console import Console
from rows import prompt

from pipelines import hub, sections
from pipelines.diagnosis import FEWEST
from pipelines.errors import SampleError, StageError
from pipelines.facts import Facts, Input
from pipelines.flow import Item, Output, Placed, each
from pipelines.recipe import Recipe
from pipelines.records import Failure, Prompt
from pipelines.run import Run
from pipelines.screen import Screen

Step = Callable[[int], Awaitable[Placed[Prompt]]]


@pytest.fixture
def start(hub_server: str, name: str) -> Callable[..., Run]:
    """A run of the test's own recipe, in which single keys can be changed."""
    connected = hub.connect(None)

    def started(**changed: Any) -> Run:
        source = {"kind": "problems", "families": ["ages"], "rows": changed.pop("source_rows", 5)}
        tree = {
            "name": name,
            "languages": ["ru"],
            "engines": {"e": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:1/v1"}},
            "prompts": {"sources": [source]},
            "generate": {"engine": "e"},
            "train": {"student": "a/b"},
            "evaluate": {
                "engine": "e",
                "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": source}],
            },
        }
        console = Console(file=io.StringIO(), width=500)
        return Run(Recipe.model_validate(tree | changed), connected, Screen(console))

    return started


def identity(number: int) -> str:
    return f"{number:016x}"


async def good(number: int) -> Placed[Prompt]:
    return Placed(prompt(number), "ru")


def failing(*bad: int, reason: str = "http-400") -> Step:
    async def step(number: int) -> Placed[Prompt]:
        if number in bad:
            raise SampleError(reason, f"told to fail at {number}", 3)
        return await good(number)

    return step


def items(numbers: Iterable[int]) -> list[Item[int]]:
    return [Item(identity(number), "ru", number) for number in numbers]


def counts(rows: Iterable[Prompt]) -> Mapping[str, Mapping[str, int]]:
    return {"ru": {"sampled": len(list(rows))}}


def opened(run: Run) -> Output[Prompt]:
    return Output(run, "prompts", run.prompts, Prompt, [], counts)


def work(run: Run, numbers: Iterable[int], step: Step = good, parallel: int = 2) -> tuple[list[int], Facts]:
    """A whole stage: what it had to do, and the facts it left."""
    with opened(run) as output:
        pending = list(output.open(items(numbers)))
        asyncio.run(each(pending, step, parallel, output))
        return [item.value for item in pending], output.finish()


def published(run: Run, folder: str = "data") -> list[str]:
    """The ids on the branch, one for each row, so that a row published twice shows."""
    snapshot = run.hub.snapshot(run.prompts, "dataset")
    assert snapshot
    return sorted(row.id for row in run.hub.rows(snapshot, Prompt, folder))


def failures(run: Run) -> list[Failure]:
    snapshot = run.hub.snapshot(run.prompts, "dataset")
    assert snapshot
    return list(run.hub.rows(snapshot, Failure, "failures"))


def ids(numbers: Iterable[int]) -> list[str]:
    return sorted(map(identity, numbers))


def history(run: Run) -> list[str]:
    """The commits' titles, the oldest first, without the one that created the repo."""
    return [commit.title for commit in run.hub.api.list_repo_commits(run.prompts, repo_type="dataset")][-2::-1]


def told(run: Run) -> Facts:
    snapshot = run.hub.snapshot(run.prompts, "dataset", "prompts")
    assert snapshot
    assert snapshot.facts
    return snapshot.facts


def screen(run: Run) -> str:
    file = run.screen.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


# --- resume


def test_a_stage_publishes_every_row_with_its_facts_in_one_commit(start: Callable[..., Run]) -> None:
    run = start()
    done, facts = work(run, range(5))
    assert done == list(range(5))
    assert published(run) == ids(range(5))
    assert history(run) == ["prompts: complete"]
    assert told(run) == facts
    assert (facts.complete, facts.failures, facts.counts) == (True, 0, {"ru": {"sampled": 5}})


def test_a_second_run_takes_up_only_what_is_missing(start: Callable[..., Run]) -> None:
    work(start(), range(3))
    run = start()
    done, facts = work(run, range(5))
    assert done == [3, 4]
    assert published(run) == ids(range(5))
    assert facts.counts == {"ru": {"sampled": 5}}
    assert "3 of 5 rows" in screen(run)


def test_the_licences_of_all_that_rows_were_made_from_are_known(start: Callable[..., Run], name: str) -> None:
    run = start()
    source, gone = (Input(repo=f"local/{name}-{what}", kind="dataset", revision="") for what in ("source", "gone"))
    run.hub.create(source.repo, "dataset", private=False)
    run.hub.publish(source.repo, "dataset", "a source", {"README.md": b"---\nlicense: cc-by-4.0\n---\n# x\n"})
    with Output(run, "prompts", run.prompts, Prompt, [source, gone], counts) as output:
        list(output.open(items(range(1))))
        output.add(Placed(prompt(0), "ru"))
        told = output.finish()
    assert told.licences == {source.repo: "cc-by-4.0", gone.repo: ""}
    read = run.hub.need(run.prompts, "dataset", "prompts")
    assert run.hub.licences(read.input) == told.licences  # so the next stage inherits them
    assert f"{source.repo}: cc-by-4.0" in run.hub.card(read)


def test_what_a_person_wrote_into_the_card_between_two_runs_is_in_the_next_card(start: Callable[..., Run]) -> None:
    run = start()
    work(run, range(3))
    head = run.hub.snapshot(run.prompts, "dataset")
    assert head
    edited = run.hub.card(head).replace(sections.marked("notes", ""), sections.marked("notes", "Read *this* first."))
    run.hub.publish(run.prompts, "dataset", "by hand", {"README.md": edited.encode()})
    work(start(), range(5))
    after = run.hub.snapshot(run.prompts, "dataset")
    assert after
    assert sections.kept(run.hub.card(after))["notes"] == "Read *this* first."
    assert "| 5 |" in run.hub.card(after)


def test_a_second_run_with_nothing_to_do_makes_no_commit(start: Callable[..., Run]) -> None:
    work(start(), range(3))
    before = history(start())
    run = start()
    assert opened(run).up_to_date()
    assert "nothing to do" in screen(run)
    done, facts = work(start(), range(3))
    assert done == []
    assert facts.complete
    assert history(start()) == before


def test_a_rejected_row_is_not_made_again(start: Callable[..., Run]) -> None:
    async def refused(number: int) -> Placed[Prompt]:
        return Placed(prompt(number), "ru", "rejected")

    work(start(), range(2), refused)
    run = start()
    assert work(run, range(3))[0] == [2]
    assert published(run, "rejected") == ids(range(2))
    assert published(run) == ids([2])


def test_a_changed_recipe_keeps_what_is_still_wanted_and_removes_the_rest(start: Callable[..., Run]) -> None:
    work(start(), range(4))
    run = start(source_rows=6)
    assert not opened(run).up_to_date()
    done, facts = work(run, range(2, 6))
    assert done == [4, 5]
    assert published(run) == ids(range(2, 6))
    assert facts.counts == {"ru": {"sampled": 4}}
    assert "the recipe changed" in screen(run)


def test_a_changed_recipe_that_only_wants_less_removes_the_rest(start: Callable[..., Run]) -> None:
    work(start(), range(4))
    run = start(source_rows=2)
    assert work(run, range(2))[0] == []
    assert published(run) == ids(range(2))


def test_a_limited_run_removes_nothing(start: Callable[..., Run]) -> None:
    work(start(), range(4))
    run = start(limit=1)
    assert work(run, [0, 9])[0] == [9]
    assert published(run) == ids([0, 1, 2, 3, 9])


def test_a_run_for_one_language_leaves_the_others_alone(start: Callable[..., Run]) -> None:
    async def other(number: int) -> Placed[Prompt]:
        return Placed(prompt(number, "uk"), "uk")

    work(start(languages=["ru", "uk"]), range(2), other)
    run = start()
    work(run, range(7, 9))
    assert published(run) == ids([0, 1, 7, 8])


def test_restarting_replaces_every_row(start: Callable[..., Run]) -> None:
    work(start(), range(4))
    run = start(source_rows=7)
    with opened(run) as output:
        output.restart()
        output.add(Placed(prompt(1), "ru"))
        output.finish_whole({"ru": {"sampled": 1}}, {})
    assert published(run) == ids([1])


# --- failures


def test_a_failing_sample_becomes_a_row_and_the_rest_is_published(start: Callable[..., Run]) -> None:
    run = start()
    _, facts = work(run, range(5), failing(2))
    assert published(run) == ids([0, 1, 3, 4])
    (row,) = failures(run)
    assert (row.id, row.stage, row.language, row.error, row.attempts) == (identity(2), "prompts", "ru", "http-400", 3)
    assert row.message == "told to fail at 2"
    assert (facts.complete, facts.failures) == (True, 1)
    assert "1 samples failed (1 x http-400)" in screen(run)


def test_the_next_run_takes_a_failure_up_again_and_removes_its_row(start: Callable[..., Run]) -> None:
    work(start(), range(5), failing(2, 3))
    run = start()
    assert not opened(run).up_to_date()
    done, facts = work(run, range(5), failing(3))
    assert done == [2, 3]
    assert published(run) == ids([0, 1, 2, 4])
    assert [row.id for row in failures(run)] == [identity(3)]
    assert facts.failures == 1
    assert work(start(), range(5))[0] == [3]
    assert failures(run) == []
    assert opened(start()).up_to_date()


def test_a_sample_that_always_fails_does_not_stop_the_runs_after_it(start: Callable[..., Run]) -> None:
    work(start(), range(3), failing(1))
    before = history(start())
    run = start()
    done, facts = work(run, range(3), failing(1))
    assert (done, facts.complete, facts.failures) == ([1], True, 1)
    assert [row.id for row in failures(run)] == [identity(1)]
    assert history(run) == before


def test_a_first_run_in_which_everything_fails_is_one_line(start: Callable[..., Run]) -> None:
    run = start()
    with pytest.raises(StageError, match=r"all 3 samples failed.*The last one: told to fail") as caught:
        work(run, range(3), failing(0, 1, 2))
    assert "\n" not in str(caught.value)


def test_failures_of_one_part_of_a_stage_do_not_end_the_next(start: Callable[..., Run]) -> None:
    first, second = items(range(4)), items([9])
    with opened(start()) as output:
        assert list(output.open([*first, *second])) == [*first, *second]
        asyncio.run(each(first, failing(0, 1), 1, output))
        asyncio.run(each(second, good, 1, output))
        assert output.finish().failures == 2


@pytest.mark.parametrize("parallel", [1, 8])
def test_many_failures_in_a_row_stop_the_stage_and_keep_what_was_made(parallel: int, start: Callable[..., Run]) -> None:
    tried = list[int]()

    async def step(number: int) -> Placed[Prompt]:
        tried.append(number)
        return await failing(*range(10, 1000))(number)

    run = start()
    with pytest.raises(StageError, match=r"of the last .* samples failed .*The last one: told to fail"):
        work(run, range(1000), step, parallel)
    assert len(tried) < 10 + FEWEST + parallel
    assert published(run) == ids(range(10))
    assert not told(run).complete


def test_failures_between_successes_do_not_stop_the_stage(start: Callable[..., Run]) -> None:
    run = start()
    _, facts = work(run, range(60), failing(*range(0, 60, 2)))
    assert facts.failures == 30
    assert len(published(run)) == 30


# --- checkpoints


def test_a_checkpoint_is_published_every_so_many_rows(start: Callable[..., Run]) -> None:
    run = start(checkpoints={"rows": 2})
    work(run, range(5), parallel=1)
    assert history(run) == ["prompts: checkpoint", "prompts: checkpoint", "prompts: complete"]
    assert published(run) == ids(range(5))


def test_a_checkpoint_is_published_when_it_is_late(start: Callable[..., Run]) -> None:
    run = start(checkpoints={"minutes": 1e-9})
    work(run, range(2), parallel=1)
    assert history(run) == ["prompts: checkpoint", "prompts: checkpoint", "prompts: complete"]


def test_a_checkpoint_does_not_pass_for_a_finished_stage(start: Callable[..., Run]) -> None:
    run = start()
    with opened(run) as output:
        output.open(items(range(3)))
        output.add(Placed(prompt(0), "ru"))
        output.checkpoint()
    assert not told(run).complete
    assert not opened(start()).up_to_date()
    with pytest.raises(StageError, match="not finished: run prompts again"):
        run.hub.need(run.prompts, "dataset", "prompts")


def test_rows_made_while_a_checkpoint_is_being_published_are_kept(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(checkpoints={"rows": 1})
    output = opened(run)
    publishing, publish = threading.Event(), hub.Hub.publish

    def slow(self: hub.Hub, *args: Any, **kwargs: Any) -> str:
        if not publishing.is_set():
            publishing.set()
            deadline = time.monotonic() + 10
            while output.journal.waiting < 2 and time.monotonic() < deadline:
                time.sleep(0.005)
        return publish(self, *args, **kwargs)

    async def step(number: int) -> Placed[Prompt]:
        if number == 1:
            await asyncio.to_thread(publishing.wait, 10)
        return await good(number)

    monkeypatch.setattr(hub.Hub, "publish", slow)
    with output:
        asyncio.run(each(output.open(items(range(2))), step, 2, output))
        output.finish()
    assert published(run) == ids(range(2))


# --- interruption


def interrupted(run: Run, numbers: Iterable[int], at: int, parallel: int = 1) -> None:
    """Work until item `at` is begun, and be broken off there, as Ctrl-C does."""

    async def main() -> None:
        begun = asyncio.Event()

        async def step(number: int) -> Placed[Prompt]:
            if number == at:
                begun.set()
                await asyncio.Event().wait()
            return await good(number)

        task = asyncio.create_task(each(output.open(items(numbers)), step, parallel, output))
        await begun.wait()
        task.cancel()
        await task

    with opened(run) as output, pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_an_interrupted_run_publishes_what_it_has(start: Callable[..., Run]) -> None:
    run = start()
    interrupted(run, range(6), at=4)
    assert published(run) == ids(range(4))
    assert not told(run).complete
    assert work(start(), range(6))[0] == [4, 5]
    assert published(run) == ids(range(6))


def test_an_interruption_during_a_checkpoint_neither_loses_nor_repeats_it(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(checkpoints={"rows": 1})
    output = opened(run)
    publishing, cancelled, publish = threading.Event(), threading.Event(), hub.Hub.publish
    calls = list[str]()

    def slow(self: hub.Hub, *args: Any, **kwargs: Any) -> str:
        calls.append("publish")
        if len(calls) == 1:
            publishing.set()
            cancelled.wait(10)
        return publish(self, *args, **kwargs)

    async def main() -> None:
        task = asyncio.create_task(each(output.open(items(range(3))), good, 1, output))
        await asyncio.to_thread(publishing.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_soon(cancelled.set)
        await task

    monkeypatch.setattr(hub.Hub, "publish", slow)
    with output, pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert calls == ["publish"]
    assert published(run) == ids([0])


def test_an_unexpected_error_keeps_what_was_made_and_is_raised_as_it_is(start: Callable[..., Run]) -> None:
    async def step(number: int) -> Placed[Prompt]:
        if number == 3:
            raise ZeroDivisionError("a bug")
        return await good(number)

    run = start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        work(run, range(5), step, parallel=1)
    assert published(run) == ids(range(3))


def test_no_more_than_the_parallel_number_is_asked_for_at_a_time(start: Callable[..., Run]) -> None:
    now, most = 0, 0

    async def step(number: int) -> Placed[Prompt]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return await good(number)

    work(start(), range(20), step, parallel=3)
    assert most == 3


def test_an_input_that_has_changed_since_the_last_run_is_told(start: Callable[..., Run]) -> None:
    def at(revision: str) -> str:
        run = start()
        read = [Input(repo="school/maths", kind="dataset", revision=revision)]
        with Output(run, "prompts", run.prompts, Prompt, read, counts) as output:
            asyncio.run(each(list(output.open(items(range(3)))), good, 2, output))
            output.finish()
        return screen(run)

    assert "has changed" not in at("1" * 40)
    told = at("2" * 40)
    assert "prompts: school/maths has changed: 111111111111 was read before, 222222222222 is now" in told
    assert "resuming, 3 of 3 rows are there" in told
