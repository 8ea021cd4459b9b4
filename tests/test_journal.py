"""The rows between two checkpoints: what is kept on this machine, taken up again, and thrown away."""

import math
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError
from rows import prompt

from pipelines.errors import StageError
from pipelines.flow import Placed, parts
from pipelines.flow.journal import Journal
from pipelines.ids import IdSet, key, keys
from pipelines.parquet import arrow_schema
from pipelines.records import Prompt, Row, Score

ROOT = Path(__file__).parent.parent
COUNTS = {"ru": {"sampled": 1}}


class Opinion(Row):
    text: str
    scores: tuple[Score, ...]
    reason: str | None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(folder: Path, numbers: range) -> None:
    """As a process leaves it that died."""
    journal = Journal(folder, Prompt)
    for number in numbers:
        journal.write(Placed(prompt(number), "ru"), COUNTS)
    journal.close()


def replayed(folder: Path, done: Sequence[int] = ()) -> tuple[list[int], int]:
    """What the next process would publish, where some rows are on the Hub; and how many lines it could not read."""
    known, journal = IdSet(), Journal(folder, Prompt)
    known.update(keys([prompt(number).id for number in done]))
    try:
        journal.take_up(known, IdSet(), lambda placed: journal.write(placed, COUNTS))
        made = parts.write(journal.cut(), Prompt, journal.longest, journal.scratch)
        rows = [int(row.source_row) for row in parts.rows(made, Prompt)]
        assert len(rows) == journal.waiting
        assert all(key(prompt(number).id) in known for number in rows)
        return rows, journal.damaged
    finally:
        journal.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def index(folder: Path) -> Path:
    (found,) = folder.glob("*.index")
    return found


def test_what_was_written_comes_back_in_order(folder: Path) -> None:
    written(folder, range(5))
    assert replayed(folder) == ([0, 1, 2, 3, 4], 0)
    assert replayed(folder) == ([0, 1, 2, 3, 4], 0)


def test_a_line_that_its_process_did_not_finish_is_left_out_alone(folder: Path) -> None:
    written(folder, range(3))
    (segment,) = segments(folder)
    content = segment.read_bytes()
    for cut in range(len(content.splitlines()[0]) + 1, len(content), 7):
        segment.write_bytes(content[:cut])
        there, damaged = replayed(folder)
        whole = [line.endswith(b"}}") for line in content[:cut].splitlines()]
        assert there == list(range(sum(whole)))
        assert damaged == whole.count(False)


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"rubbish\n", b'{"folder":"data"}\n', b'{"folder":"../x","language":"ru"}\n']
)
def test_damage_in_the_middle_costs_one_row_at_most(damage: bytes, folder: Path) -> None:
    written(folder, range(3))
    (segment,) = segments(folder)
    first, *rest = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + damage + b"".join(rest))
    there, damaged = replayed(folder)
    assert damaged == 1
    assert set(there) >= {0, 2}


def test_an_index_that_was_broken_anywhere_costs_no_row(folder: Path, tmp_path: Path) -> None:
    written(folder, range(4))
    content = index(folder).read_bytes()
    for cut in range(len(content)):
        for rest in (b"", b"\0" * (len(content) - cut)):
            copied = shutil.copytree(folder, tmp_path / f"{cut}-{len(rest)}")
            index(copied).write_bytes(content[:cut] + rest)
            there, damaged = replayed(copied)
            assert (sorted(there), damaged) == ([0, 1, 2, 3], 0)
            assert sorted(replayed(copied)[0]) == [0, 1, 2, 3]


def test_an_index_without_its_lines_is_in_nobodys_way(folder: Path) -> None:
    written(folder, range(2))
    segments(folder)[0].unlink()
    assert replayed(folder) == ([], 0)
    assert not folder.exists()


def test_rows_that_are_known_by_their_index_stay_where_they_are(folder: Path) -> None:
    written(folder, range(3))
    before = [(path.name, path.stat().st_ino) for path in segments(folder)]
    replayed(folder)
    assert [(path.name, path.stat().st_ino) for path in segments(folder)] == before


@pytest.mark.parametrize("done", [(), (1,), (0, 2), (0, 1, 2)])
def test_rows_that_are_on_the_hub_are_not_taken_up_again(done: Sequence[int], folder: Path) -> None:
    written(folder, range(3))
    assert replayed(folder, done) == ([number for number in range(3) if number not in done], 0)
    assert replayed(folder) == ([number for number in range(3) if number not in done], 0)


def test_an_index_of_rows_in_another_form_is_not_believed(folder: Path) -> None:
    written(folder, range(3))
    journal = Journal(folder, Opinion)
    journal.take_up(IdSet(), IdSet(), lambda _: None)
    assert (journal.waiting, journal.damaged) == (0, 3)
    journal.close()


def test_lines_that_were_damaged_where_they_lie_are_found_and_the_others_are_kept(folder: Path) -> None:
    written(folder, range(3))
    (segment,) = segments(folder)
    content = segment.read_bytes()
    segment.write_bytes(content.replace(b'{"folder"', b'\0"folder"', 2))
    with pytest.raises(StageError, match=r"is damaged .*run it again") as caught:
        replayed(folder)
    assert "\n" not in str(caught.value)
    assert replayed(folder) == ([2], 2)


def test_rows_are_in_the_journal_until_they_are_forgotten(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    journal.write(Placed(prompt(1), "ru"), COUNTS)
    taken = journal.cut()
    journal.write(Placed(prompt(2), "ru"), COUNTS)
    assert journal.waiting == 2
    assert list(taken.values()) == [COUNTS]
    journal.forget(taken)
    assert journal.waiting == 1
    journal.close()
    assert replayed(folder) == ([2], 0)


def test_an_empty_journal_leaves_nothing_behind(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    journal.write(Placed(prompt(1), "ru"), COUNTS)
    journal.forget(journal.cut())
    journal.close()
    assert not folder.exists()


def test_one_journal_has_one_writer(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    with pytest.raises(StageError, match="another process on this machine does the same work") as caught:
        Journal(folder, Prompt)
    assert "\n" not in str(caught.value)
    journal.close()
    Journal(folder, Prompt).close()


def test_a_folder_that_cannot_be_written_says_which_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StageError, match="THINKIN_CACHE") as caught:
        Journal(tmp_path / "file" / "journal", Prompt)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_no_unicode_leaves_the_journal_as_it_was(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    journal.write(Placed(prompt(1), "ru"), COUNTS)
    with pytest.raises(PydanticSerializationError):
        journal.write(Placed(prompt(2).model_copy(update={"text": "half of a pair: \ud83d"}), "ru"), COUNTS)
    journal.write(Placed(prompt(3), "ru"), COUNTS)
    journal.close()
    assert replayed(folder) == ([1, 3], 0)


FULL = """
import signal, sys
from pathlib import Path
from pipelines.flow import Placed
from pipelines.flow.journal import Journal
from pipelines.errors import StageError
from pipelines.records import Prompt
from tests.rows import prompt
journal = Journal(Path(sys.argv[1]), Prompt)
try:
    for number in range(10**6):
        journal.write(Placed(prompt(number), "ru"), {})
        print(number, flush=True)
except StageError as full:
    print(full)
"""


def test_a_disk_that_is_full_is_one_line_and_takes_no_row_that_counted(folder: Path) -> None:
    """A limit on the size of files stands in for the disk: the write that passes it is cut short, and then refused."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    command = [sys.executable, "-c", FULL, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=True)
    *counted, told = ended.stdout.splitlines()
    assert "make room" in told
    assert len(counted) > 5
    assert replayed(folder) == ([int(number) for number in counted], 0)


FULL_AT_A_CHECKPOINT = """
import random, resource, sys
from pathlib import Path
from pipelines.flow import Placed, parts
from pipelines.flow.journal import Journal
from pipelines.errors import StageError
from pipelines.records import Prompt
from tests.rows import prompt
journal = Journal(Path(sys.argv[1]), Prompt)
for number in range(200):
    journal.write(Placed(prompt(number).model_copy(update={"text": random.randbytes(50).hex()}), "ru"), {})
segments = journal.cut()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    parts.write(segments, Prompt, journal.longest, journal.scratch)
except StageError as full:
    print(full)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
(made,) = parts.write(segments, Prompt, journal.longest, journal.scratch)
print(sum(1 for _ in parts.rows([made], Prompt)))
"""


@pytest.mark.parametrize("room", [0, 5_000])
def test_a_disk_that_is_full_at_a_checkpoint_is_one_line_and_the_next_has_every_row(room: int, folder: Path) -> None:
    command = [sys.executable, "-c", FULL_AT_A_CHECKPOINT, str(folder), str(room)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told, rows = ended.stdout.splitlines()
    assert "make room" in told
    assert rows == "200"
    assert replayed(folder) == (list(range(200)), 0)


# --- parts


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FLOAT = st.floats(allow_nan=False)
OPINIONS = st.builds(
    Opinion,
    id=st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}"),
    text=TEXT,
    scores=st.lists(st.builds(Score, judge=TEXT, value=FLOAT, model=TEXT, instruction=TEXT), max_size=3).map(tuple),
    reason=st.none() | TEXT,
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(OPINIONS, min_size=1, max_size=12, unique_by=lambda row: row.id))
def test_rows_go_through_journal_and_parquet_unchanged(
    rows: list[Opinion], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, Opinion)
    for number, row in enumerate(rows):
        journal.write(Placed(row, ("ru", "uk")[number % 2], ("data", "rejected")[number % 3 == 0]), {})
    written = parts.write(journal.cut(), Opinion, journal.longest, journal.scratch)
    there = {row.id: row for row in parts.rows(written, Opinion)}
    assert there == {row.id: row for row in rows}
    for part in written:
        _, language, _ = part.path.split("/")
        assert pq.read_schema(part.file).equals(arrow_schema(Opinion))
        names = pq.read_table(part.file, columns=["id"])["id"].to_pylist()
        assert keys(names).tolist() == part.keys.tolist()
        assert {("ru", "uk").index(language)} == {rows.index(there[name]) % 2 for name in names}
    journal.close()


def test_what_is_no_number_stays_none(folder: Path) -> None:
    journal = Journal(folder, Opinion)
    scores = tuple(Score(judge="j", value=value, model="m", instruction="") for value in (math.nan, -math.inf))
    journal.write(Placed(Opinion(id="0" * 16, text="", scores=scores, reason=None), "ru"), {})
    (back,) = parts.rows(parts.write(journal.cut(), Opinion, journal.longest, journal.scratch), Opinion)
    assert math.isnan(back.scores[0].value)
    assert back.scores[1].value == -math.inf
    journal.close()


def test_a_row_longer_than_the_blocks_that_are_read_goes_through(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    long = prompt(1).model_copy(update={"text": "Ж" * (parts.BLOCK + 1)})
    for row in (prompt(0), long, prompt(2)):
        journal.write(Placed(row, "ru"), COUNTS)
    assert list(parts.rows(parts.write(journal.cut(), Prompt, journal.longest, journal.scratch), Prompt))[1] == long
    journal.close()


def test_rows_that_landed_already_are_left_out_of_a_part(folder: Path) -> None:
    journal = Journal(folder, Prompt)
    for number in range(4):
        journal.write(Placed(prompt(number), "ru"), COUNTS)
    landed = IdSet()
    landed.update(keys([prompt(1).id, prompt(3).id]))
    (part,) = parts.write(journal.cut(), Prompt, journal.longest, journal.scratch, landed)
    assert part.keys.tolist() == [key(prompt(0).id), key(prompt(2).id)]
    journal.close()
