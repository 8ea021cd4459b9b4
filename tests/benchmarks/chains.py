"""How fast chains are taken apart and loops are found, beside a back-reference regex in the same run. By hand:

    python tests/benchmarks/chains.py

Goals: loops found in at least 8,000 chains of 4,000 characters a second; a chain of 1 MB in less than a second; eight
times as long a chain in at most 32 times the time, whatever is in it (a quadratic pass takes 64). A goal that is missed
ends the run with exit code 1.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipelines.chains import join, repetition, split

WORDS = [
    "умножаем",
    "получаем",
    "прибавляем",
    "сумма",
    "теперь",
    "равна",
    "число",
    "яблоко",
    "рублей",
    "осталось",
    "пусть",
]
REGEX = re.compile(r"(.{40,400}?)\1", re.DOTALL)
UNITS = ("<think>", "</think>", "<think></think>", "a`", "```\n", "~~~x\n", "`", "слово ", "да\n", "x" * 39 + "\n")


def chain(chance: random.Random) -> str:
    """4,000 characters of steps, every fourth chain with a loop in its second half."""
    text = " ".join(f"{chance.choice(WORDS)} {chance.randint(1, 999)}" for _ in range(500))[:4000]
    return (text[:2000] + text[1900:2000] * 20)[:4000] if chance.random() < 0.25 else text


def speed(check: Callable[[str], object], texts: Sequence[str]) -> float:
    """Texts a second, the best of three rounds."""
    return len(texts) / min(seconds(lambda: [check(text) for text in texts]) for _ in range(3))


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, which other programs on the machine lengthen less than those of the clock."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    chance = random.Random(0)  # noqa: S311 - no secret
    texts = [chain(chance) for _ in range(400)]
    loops = speed(repetition, texts)
    regex = speed(REGEX.search, texts[:20])
    whole = speed(split, [join(text, "Ответ: 17") for text in texts])
    print(f"loops found by repetition()     {loops:9,.0f} chains/s ({loops / regex:,.0f} times the regex)")
    print(f"loops found by a back-reference {regex:9,.0f} chains/s")
    print(f"split() with all its defects    {whole:9,.0f} chains/s")

    print("\nseconds for    1 MB    8 MB   ratio")
    longest = steepest = 0.0
    for unit in (*UNITS, texts[0]):
        short, long = (unit * (size // len(unit)) for size in (1_000_000, 8_000_000))
        times = [min(seconds(lambda text=text: split(text)) for _ in range(3)) for text in (short, long)]
        longest, steepest = max(longest, times[0]), max(steepest, times[1] / times[0])
        print(f"{unit[:12]!r:14}{times[0]:8.3f}{times[1]:8.3f}{times[1] / times[0]:8.1f}")

    goals = [
        ("loops in 8,000 chains a second", loops >= 8000),
        ("1 MB in less than a second", longest < 1.0),
        ("eight times as long in at most 32 times the time", steepest <= 32),
    ]
    print()
    for goal, met in goals:
        print(f"{'met   ' if met else 'MISSED'} {goal}")
    return not all(met for _, met in goals)


if __name__ == "__main__":
    sys.exit(main())
