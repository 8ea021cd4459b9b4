"""Work on all cores: in order, a little ahead, and nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from pipelines import cores

ROOT = Path(__file__).parent.parent


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def failing(number: int) -> int:
    if number == 50:
        raise ValueError("told to fail at 50")
    return number


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started after the first value."""
    monkeypatch.setattr(cores, "WORTH", 0.0)


@pytest.mark.parametrize("many", [0, 1, 33, 500])
def test_results_come_in_the_order_of_the_values_and_from_other_processes(many: int) -> None:
    with cores.spread(squared, range(many)) as results:
        found = list(results)
    assert [square for square, _ in found] == [number * number for number in range(many)]
    assert os.getpid() not in {process for _, process in found[1:]}


def test_only_so_many_values_are_read_ahead() -> None:
    read = list[int]()

    def values() -> Iterator[int]:
        for number in count():
            read.append(number)
            yield number

    with cores.spread(squared, values()) as results:
        assert len(list(islice(results, 100))) == 100
        processes = min(cores.MOST, len(os.sched_getaffinity(0)))
        assert len(read) <= 100 + (processes * cores.AHEAD + 1) * cores.TOGETHER


def test_an_error_is_raised_where_the_results_are_read() -> None:
    with cores.spread(failing, range(100)) as results, pytest.raises(ValueError, match="at 50"):
        list(results)


KILLED = """
import sys, time
from pipelines import cores
from tests.test_cores import squared
cores.WORTH = 0.0
with cores.spread(squared, range(100)) as results:
    print(*{process for _, process in results if process}, flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_the_one_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        processes = [int(word) for word in parent.stdout.readline().split()]
        assert len(processes) > 1
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < until
        time.sleep(0.1)
