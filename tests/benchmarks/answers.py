"""How fast answers are checked, beside math-verify alone in the same run, and what each accepts. By hand:

    python tests/benchmarks/answers.py [--pairs 400]

Goals: at least 2,000 plain numeric answers and 500 mixed pairs a second on one core, no answer longer than a second,
no wrong answer accepted. A goal that is missed ends the run with exit code 1. math-verify runs as its README says, in
this process, with its own time-outs; ours counts the time of its worker, since one waits for the other.
"""

import argparse
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipelines.answers import extract, verify

Pair = tuple[str, str, str, bool]  # gold, answer, language, whether they are equal

NUMERIC = [
    ("{n}", "Ответ: {n}", "ru"), ("{n}", "**Ответ:** {n} рублей.", "ru"), ("{n}.5", "Ответ: {n},5", "ru"),
    ("{n}", "The answer is ${n}.00.", "en"), ("{n}", "答案：{n}个", "zh"), ("{n}", "Antwort: {n} €", "de"),
    ("{n}", r"Итак, \boxed{{{n}}}", "ru"), ("{n}000", "Ответ: {n} 000", "ru"), ("{n}000", "Respuesta: {n}.000", "es"),
    ("{n}/7", r"Ответ: \frac{{{n}}}{{7}}", "ru"),
]  # fmt: skip
OTHER = [
    ("({n}, 5)", "({n}; 5)", "ru"), ("{n}; 5", "5; {n}", "ru"), ("2:{n}", "2 часа {n} минут", "ru"),
    ("Monday {n}", "monday {n}", "en"), ("B", "Б) {n}", "ru"), (r"\sqrt{{{n}}}", "√{n}", "ru"),
    (r"{n}x + 1", "1 + {n}x", "ru"), (r"\frac{{\pi}}{{{n}}}", "π/{n}", "ru"), (r"{n}\tan x", r"{n} \tg x", "ru"),
    (r"(-\infty, {n}]", r"(-\infty; {n}]", "ru"),
]  # fmt: skip
EVIL = [
    ("5", "9^{9^{9}}"), ("5", "9^{9^{9^{9}}}+x"), ("x", r"\frac{1}{" * 200 + "x" + "}" * 200), ("5", "1000000!!!"),
    (r"\int_0^1 x^x dx", r"\int_0^{99^{99}} \sin(x^{99}) dx"), ("5", "(x+y+z)^{999}"),
    ("5", "(" * 900 + "5" + ")" * 900),
]  # fmt: skip
UNEQUAL = [
    ("2;3", "2", "ru"), ("2, 3", "2", "ru"), ("6", "2 3", "en"), ("5", "x > 5", "en"), ("5", "x \\ne 5", "en"),
    ("1234", "1,235", "en"), ("3", "3x", "en"), ("25", "2,5", "ru"), ("(2,5)", "2.5", "ru"), ("(2,5)", "(5,2)", "en"),
    ("10^{-7}", "2 \\cdot 10^{-7}", "en"), ("0.0000001", "0.0000002", "en"), ("x=2, y=3", "x=3, y=2", "en"),
    ("5", "5, 6", "en"), ("0.25", "0.25%", "en"), ("-5", "5", "en"), ("[2;5]", "(2;5)", "ru"),
    ("1/3", "0.3333333", "en"), (r"\sqrt{2}", "1.4142136", "en"), ("40", "час 40 минут", "ru"),
]  # fmt: skip


def pairs(forms: Sequence[tuple[str, str, str]], count: int, seed: int) -> list[Pair]:
    """Every second pair is a near miss: the answer is for another number than the gold answer."""
    chance, found = random.Random(seed), list[Pair]()  # noqa: S311 - no secret
    while len(found) < count:
        for gold, answer, language in forms:
            number = chance.randint(11, 59)
            other = number if len(found) % 2 else number + 1
            same = gold.format(n=number) == gold.format(n=other)
            found.append((gold.format(n=number), answer.format(n=other), language, same))
    return found[:count]


def ours(pair: Pair) -> str:
    answer = extract(pair[1], pair[2])
    return verify(pair[0], answer.text, pair[2]).kind if answer else "wrong"


def compare(pair: Pair) -> str:
    return verify(*pair[:3]).kind


def theirs(pair: Pair) -> str:
    from math_verify import parse, verify  # pyright: ignore[reportMissingTypeStubs]

    gold = f"${pair[0]}$" if "\\" in pair[0] else pair[0]
    return "right" if verify(parse(gold), parse(pair[1])) else "wrong"


def bare(pair: Pair) -> str:
    """math-verify on an answer without a sentence around it."""
    return theirs((pair[0], f"${pair[1]}$" if "\\" in pair[1] else pair[1], pair[2], pair[3]))


def formula(pair: Pair) -> str:
    """math-verify on an answer that is marked as a formula."""
    return theirs((pair[0], f"${pair[1]}$", pair[2], pair[3]))


def measure(name: str, check: Callable[[Pair], str], work: Sequence[Pair]) -> float:
    """Pairs a second, the median of three rounds; says as well what was judged wrongly."""
    check(work[0])
    rounds = list[float]()
    kinds = list[str]()
    for _ in range(3):
        start = time.perf_counter()
        kinds = [check(pair) for pair in work]
        rounds.append(len(work) / (time.perf_counter() - start))
    accepted = sum(kind == "right" and not pair[3] for kind, pair in zip(kinds, work, strict=True))
    missed = sum(kind == "wrong" and pair[3] for kind, pair in zip(kinds, work, strict=True))
    unsure = kinds.count("undecidable")
    speed = sorted(rounds)[1]
    print(
        f"{name:36} {speed:9,.0f} pairs/s   wrongly accepted {accepted:3}, refused {missed:3}, undecidable {unsure:3}"
    )
    return speed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    count = parser.parse_args().pairs
    logging.disable()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, for us and for the worker alike
    verify("x+1", "1+x", "en")  # starts the worker

    numeric = pairs(NUMERIC, count, 1)
    mixed = pairs(NUMERIC, count // 2, 2) + pairs(OTHER, count // 2, 3)
    goals = list[tuple[str, bool]]()
    speed = measure("plain numbers: extract and verify", ours, numeric)
    goals.append(("2,000 plain numeric answers a second", speed >= 2000))
    measure("plain numbers: math-verify", theirs, numeric)
    speed = measure("mixed: verify", compare, mixed)
    goals.append(("500 mixed pairs a second", speed >= 500))
    measure("mixed: math-verify", bare, mixed)

    print("\nOne answer that is meant to take forever, seconds:")
    slowest = 0.0
    for gold, answer in EVIL:
        times = list[str]()
        for check in (compare, formula):
            start = time.perf_counter()
            kind = check((gold, answer, "en", False))
            times.append(f"{time.perf_counter() - start:6.2f} {kind:11}")
            if check is compare:
                slowest = max(slowest, time.perf_counter() - start)
        print(f"{answer[:32]:34} ours {times[0]}  math-verify {times[1]}")
    goals.append(("no answer longer than a second", slowest <= 1.0))

    print("\nAnswers that are not equal to their gold answer:")
    accepted = 0
    for gold, answer, language in UNEQUAL:
        pair = (gold, answer, language, False)
        kinds = compare(pair), bare(pair)
        accepted += kinds[0] == "right"
        print(f"{gold:16} {answer:22} ours {kinds[0]:12} math-verify {kinds[1]}")
    goals.append(("no wrong answer accepted", accepted == 0))

    print()
    for goal, met in goals:
        print(f"{'met   ' if met else 'MISSED'} {goal}")
    return not all(met for _, met in goals)


if __name__ == "__main__":
    sys.exit(main())
