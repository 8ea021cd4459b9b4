"""How tokens are drawn, and that a batch from which rows leave writes what each row would write alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_student

from pipelines.servers.generation import LIKELY, Row, Task, draw, generate


def row(seed: int = 0, temperature: float = 1.0, top_p: float = 1.0, penalty: float = 1.0, prompt: int = 0) -> Row:
    task = Task((prompt,), 10, temperature, top_p, penalty, seed)
    return Row(task, torch.Generator().manual_seed(seed), None)


def drawn(probabilities: torch.Tensor, times: int, **rule: Any) -> Counter[int]:
    rows = [row(seed, **rule) for seed in range(times)]
    return Counter(draw(probabilities.log().expand(times, -1).clone(), rows))


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    found = drawn(torch.tensor([0.5, 0.3, 0.2]), 4000)
    assert [found[token] / 4000 for token in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_a_temperature_sharpens_the_odds() -> None:
    found = drawn(torch.tensor([0.6, 0.4]), 4000, temperature=0.5)
    assert found[0] / 4000 == pytest.approx(0.36 / 0.52, abs=0.03)


def test_a_nucleus_keeps_the_token_that_passes_its_size_and_no_other() -> None:
    found = drawn(torch.tensor([0.1, 0.5, 0.15, 0.25]), 4000, top_p=0.6)
    assert found.keys() == {1, 3}
    assert found[1] / 4000 == pytest.approx(0.5 / 0.75, abs=0.03)


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_what_is_not_among_the_likeliest_can_be_drawn_too(top_p: float) -> None:
    size = 8 * LIKELY
    found = drawn(torch.full((size,), 1 / size), 2000, top_p=top_p)
    assert len(found) > 2 * LIKELY
    assert max(found.values()) < 12


def test_a_penalty_makes_what_was_seen_less_likely() -> None:
    logits = torch.tensor([[2.0, 1.9, -1.0]])
    assert draw(logits.clone(), [row(temperature=0)]) == [0]
    assert draw(logits.clone(), [row(temperature=0, penalty=1.2)]) == [1]


def test_rows_of_one_batch_follow_each_its_own_rule() -> None:
    logits = torch.tensor([0.3, 0.3, 0.4]).log().expand(2, -1).clone()
    assert draw(logits, [row(temperature=0), row(top_p=0.01)]) == [2, 2]


def test_a_row_that_leaves_a_batch_changes_nothing_for_those_that_stay(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        make_student(tmp_path, initializer_range=0.5), dtype=torch.float32
    )
    start = tuple(range(20, 40))
    limits = (3, 90, 1, 5, 40, 70)
    tasks = [Task((*start, *range(50, 50 + size)), limit, 1.0, 0.9, 1.0, limit) for size, limit in enumerate(limits, 1)]
    tasks.append(Task(tasks[1].prompt, 30, 1.0, 0.9, 1.0, seed=5))  # another sample of the same prompt
    together = generate(model, tasks, ends=[0])
    assert [generate(model, [task], ends=[0])[0] for task in tasks] == together
    assert max(len(answer.ids) for answer in together) > 70
