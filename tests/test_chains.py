"""chains.py: nothing of a response is lost, its defects are named, and only real loops are loops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.chains import Chain, defects, join, repeated_share, repetition, split

PLAIN = st.text(st.characters(exclude_characters="<`~")).map(str.strip)

STEPS = "\n".join(
    f"Шаг {i}: умножаем {i} на {i + 3} и получаем {i * (i + 3)}; прибавляем к сумме, теперь она равна {i**2 + 7 * i}."
    for i in range(1, 40)
)


@given(PLAIN, PLAIN)
def test_split_undoes_join(reasoning: str, answer: str) -> None:
    chain = split(join(reasoning, answer))
    assert (chain.reasoning, chain.answer) == (reasoning, answer)


@given(PLAIN, PLAIN)
def test_a_block_opened_by_the_template_reads_the_same(reasoning: str, answer: str) -> None:
    whole = join(reasoning, answer)
    assert split(whole.removeprefix("<think>"), opened=True) == split(whole) == split(whole, opened=True)


@given(st.lists(st.sampled_from(["<think>", "</think>", "`", "```\n", "\n", " ", "a1", "да", "𝒳"])), st.booleans())
def test_nothing_but_tags_and_blanks_is_lost(parts: list[str], opened: bool) -> None:
    def letters(text: str) -> str:
        return "".join(sorted("".join(text.replace("<think>", "").replace("</think>", "").split())))

    response = "".join(parts)
    chain = split(response, opened)
    assert letters((chain.reasoning or "") + chain.answer) == letters(response)


@given(st.text(st.characters(exclude_categories=())), st.booleans())
def test_no_text_crashes_split(text: str, opened: bool) -> None:
    split(text, opened)


@pytest.mark.parametrize(
    ("response", "opened", "reasoning", "answer", "found"),
    [
        ("<think>\nhm\n</think>\n\n4", False, "hm", "4", ()),
        ("hm</think>4", True, "hm", "4", ()),
        ("hm</think>4", False, "hm", "4", ("unopened",)),
        ("4", False, None, "4", ("no-think",)),
        ("", False, None, "", ("no-think", "no-answer")),
        ("<think>hm", False, "hm", "", ("unclosed", "no-answer")),
        ("hm", True, "hm", "", ("unclosed", "no-answer")),
        ("<think>a</think>x<think>b</think>y", False, "a\n\nb", "x\n\ny", ("several-blocks",)),
        ("<think>a<think>b</think>c</think>d", False, "a<think>b</think>c", "d", ("nested",)),
        ("<think>a<think>b</think>d", False, "a<think>b", "d", ("nested",)),
        ("hi <think>a</think>d", False, "a", "hi\n\nd", ("text-before-think",)),
        ("<think>a</think>b</think>c", False, "a", "b</think>c", ("stray-tag",)),
        ("<think>\n \n</think>4", False, "", "4", ("empty-think",)),
        ("<think>2+2 = 4</think>2+2  =  4", False, "2+2 = 4", "2+2  =  4", ("copied-think",)),
        ("<think>a</think>...", False, "a", "...", ("no-answer",)),
    ],
)
def test_each_defect_is_named(
    response: str, opened: bool, reasoning: str | None, answer: str, found: tuple[str, ...]
) -> None:
    assert split(response, opened) == Chain(reasoning, answer, found)


@pytest.mark.parametrize(
    "code", ["`</think>`", "```\n</think>\n```", "~~~xml\n<think>\n~~~", "```python\nprint('<think>')\n```"]
)
def test_tags_inside_code_do_not_count(code: str) -> None:
    assert split(join(f"before\n{code}\nafter", "4")) == Chain(f"before\n{code}\nafter", "4", ())


def test_a_fence_that_never_closes_does_not_swallow_the_answer() -> None:
    assert split("<think>a\n```python\nx\n</think>\n```python\ny\n```").answer == "```python\ny\n```"


def test_truncation_comes_from_the_server() -> None:
    chain = split("<think>hm")
    assert defects(chain, "length") == (*chain.defects, "truncated")
    assert defects(chain, "stop") == chain.defects


def test_steps_that_differ_in_numbers_are_no_loop() -> None:
    assert repeated_share(STEPS) < 0.3
    assert split(join(STEPS, "4")).defects == ()


@pytest.mark.parametrize("period", ["да\n", "Подождите, проверим ещё раз. ", "一、二、", STEPS[:300]])
def test_a_loop_is_found_whatever_its_period(period: str) -> None:
    assert repeated_share(period * (2000 // len(period))) > 0.8
    assert "loop" in split(join(STEPS + period * (2000 // len(period)), "4")).defects


@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_the_repeated_share_is_a_share(text: str) -> None:
    assert 0.0 <= repeated_share(text) <= 1.0
    assert repeated_share(text[:30]) == 0.0
    assert 0.0 <= repetition(text).lines <= 1.0


def test_short_lines_that_come_back_in_any_order_are_a_loop() -> None:
    lines = ["Хм.", "Проверим.", "Стоп, нет.", "x = 5"]
    text = "\n".join(f"{lines[i * i % 4]}\n{lines[i * 7 % 3]}\nШаг {i}" for i in range(40))
    found = repetition(text)
    assert found.windows < 0.5 < found.lines
    assert found.line in lines
    assert "loop" in split(join(text, "4")).defects


def test_formulas_that_stand_on_lines_of_their_own_are_no_loop() -> None:
    text = "\n".join(f"\\[\nx_{i} = {i * i}\n\\]\n---" for i in range(60))
    assert repetition(text).lines == 0.0
    assert repetition(text).line == ""
