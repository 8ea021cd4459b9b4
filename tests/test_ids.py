"""Ids as numbers, and sets of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import ids
from pipelines.ids import IdSet, key, keys
from pipelines.records import digest, digests

NUMBERS = st.integers(0, 2**64 - 1)


@given(st.lists(NUMBERS | st.text(max_size=20).filter(lambda text: text.isprintable())))
def test_many_ids_are_the_same_numbers_as_one_by_one(values: list[int | str]) -> None:
    names = [f"{value:016x}" if isinstance(value, int) else value for value in values]
    assert keys(names).tolist() == [key(name) for name in names]


def test_an_id_is_the_number_it_is_written_as() -> None:
    assert key("00000000000000ff") == 255
    assert key(digest("x")) == int(digest("x"), 16)


@pytest.mark.parametrize("name", ["", "x", "+00000000000000f", "00 00 00 00 00 0", "0" * 17, "г" * 16, "\ud800" * 16])
def test_any_other_text_is_a_number_of_its_own(name: str) -> None:
    assert key(name) not in (key(""), 0, 15) or name == ""
    assert keys([name, "0" * 16]).tolist() == [key(name), 0]


@given(st.lists(st.lists(st.integers(0, 300))))
def test_a_set_of_ids_is_a_set(turns: list[list[int]]) -> None:
    found, plain = IdSet(), set[int]()
    for number, turn in enumerate(turns):
        many = np.array(turn, np.uint64)
        if number % 3 == 1:
            found.update(many)
            plain |= set(turn)
        elif number % 3 == 2:
            new = [one not in plain and one not in turn[:place] for place, one in enumerate(turn)]
            assert found.add_all(many).tolist() == new
            plain |= set(turn)
        else:
            for one in turn:
                assert found.add(one) == (one not in plain)
                plain.add(one)
        assert len(found) == len(plain)
    every = np.arange(302, dtype=np.uint64)
    assert found.holds(every).tolist() == [one in plain for one in range(302)] == [one in found for one in range(302)]


def test_ids_that_are_added_one_by_one_end_in_the_sorted_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MERGED_AT", 10)
    found = IdSet()
    for one in range(1000, 0, -1):
        assert found.add(one)
    assert len(found._recent) < 150
    assert not found.add(1000)
    assert 1001 not in found


@given(
    st.lists(st.text().filter(str.isprintable) | st.none(), min_size=1),
    st.integers(0, 20),
    st.lists(st.text().filter(str.isprintable) | st.none(), min_size=1),
)
def test_many_digests_are_those_of_one_by_one(before: list[str | None], count: int, after: list[str | None]) -> None:
    assert list(digests(before, range(count), after)) == [digest(*before, one, *after) for one in range(count)]
