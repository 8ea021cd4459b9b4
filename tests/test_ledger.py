"""What was spent since the last commit: kept on this machine, and counted once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.facts import Spent, Usage
from pipelines.flow.ledger import MOST, Entry, Ledger


@dataclass
class Meter:
    """Stands for that of a door, which counts up."""

    requests: int = 0
    model: str = "m"

    def read(self) -> Spent:
        usage = Usage(requests=self.requests, prompt_tokens=2 * self.requests, completion_tokens=3 * self.requests)
        return Spent(model=self.model, usage=usage, dollars=self.requests / 8, gpu_hours=self.requests / 4)


def opened(folder: Path, **told: int) -> tuple[Ledger, Meter]:
    """The ledger of a process; `told` are the marks in the facts by the ledger's name."""
    ledger, meter = Ledger(), Meter()
    ledger.open(folder, told)
    ledger.meters.append(meter)  # pyright: ignore[reportArgumentType]
    return ledger, meter


def requests(entry: Entry) -> int:
    return sum(one.usage.requests for one in entry.spent)


def spent(folder: Path, many: int, **told: int) -> Ledger:
    """A process that spends so much and is killed."""
    ledger, meter = opened(folder, **told)
    for _ in range(many):
        meter.requests += 1
        ledger.write()
    return ledger


def test_what_killed_processes_spent_is_added_up(tmp_path: Path) -> None:
    for many in (3, 0, 4):
        spent(tmp_path, many)
    (one,) = opened(tmp_path)[0].untold().spent
    usage = Usage(requests=7, prompt_tokens=14, completion_tokens=21)
    assert one == Spent(model="m", usage=usage, dollars=7 / 8, gpu_hours=7 / 4)


def test_what_a_commit_tells_of_is_counted_once_even_where_nobody_saw_it_succeed(tmp_path: Path) -> None:
    ledger = spent(tmp_path, 3)
    sent = ledger.mark()
    assert requests(ledger.due(sent)) == 3
    ledger.meters[0].requests += 2  # type: ignore[attr-defined]
    ledger.write()
    assert requests(opened(tmp_path)[0].untold()) == 5  # it failed
    assert requests(opened(tmp_path, **{ledger.name: sent.mark})[0].untold()) == 2  # it went through
    assert requests(opened(tmp_path, another=sent.mark)[0].untold()) == 5


def test_a_second_attempt_at_a_commit_tells_of_what_came_meanwhile(tmp_path: Path) -> None:
    ledger, meter = opened(tmp_path)
    meter.requests = 3
    first = ledger.mark()
    meter.requests = 5
    second = ledger.mark()
    assert [requests(ledger.due(entry)) for entry in (first, second)] == [3, 5]
    assert requests(opened(tmp_path, **{ledger.name: first.mark})[0].untold()) == 2
    assert requests(opened(tmp_path, **{ledger.name: second.mark})[0].untold()) == 0
    ledger.landed(second)
    assert requests(ledger.untold()) == 0
    assert requests(opened(tmp_path, **{ledger.name: second.mark})[0].untold()) == 0


def test_a_line_that_its_process_did_not_finish_costs_that_line_alone(tmp_path: Path) -> None:
    spent(tmp_path, 3)
    file = tmp_path / "ledger"
    content = file.read_bytes()
    last = content.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        file.write_bytes(content[:-cut])
        assert requests(opened(tmp_path)[0].untold()) == (3 if cut == 1 else 2)
        file.write_bytes(content)


def test_the_file_stays_small_and_keeps_the_marks(tmp_path: Path) -> None:
    ledger = spent(tmp_path, 1)
    sent = ledger.mark()
    for _ in range(MOST + 1):
        ledger.write()
    assert len((tmp_path / "ledger").read_bytes().splitlines()) < 10
    assert requests(opened(tmp_path, **{ledger.name: sent.mark})[0].untold()) == 0


@pytest.mark.parametrize("told", [True, False])
def test_what_the_hub_counts_is_not_kept_here(told: bool, tmp_path: Path) -> None:
    ledger = spent(tmp_path, 2)
    if told:
        ledger.landed(ledger.mark())
    ledger.close()
    assert (tmp_path / "ledger").exists() is not told
