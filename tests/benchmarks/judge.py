"""How fast a candidate passes all checks of *judge* that cost no request, on one core and on all. By hand:

    python tests/benchmarks/judge.py [--chains 500]

Taken apart, structure and loops, language of every segment, the answer found and checked: chains of 4,000 characters in
Russian, every tenth with English sentences in it, with a number as the gold answer. Goal: at least 500 chains a second.
Beside it stand the parts, and plain langid on the same chains, which only names the language of the whole. Seconds are
those of the processor; those of the clock where one core is compared with all, as the stage uses them. A goal that is
missed ends the run with exit code 1.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import langid

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipelines import answers, chains, checks, cores, language, lexicon
from pipelines.recipe import Judge
from pipelines.records import Candidate, Prompt

QUESTION = Prompt(
    id="p", language="ru", text="Сколько?", source_text="Сколько?", source_language="ru", dataset="made/up",
    source_row="0", family="sum", gold="17", translator=None, defects=(),
)  # fmt: skip


def response(chance: random.Random, words: dict[str, list[str]]) -> str:
    """A chain whose sentences are made of common words, each unlike the last, with numbers and formulas."""
    sentences, foreign = list[str](), chance.random() < 0.1
    while sum(map(len, sentences)) < 4000:
        tongue = "en" if foreign and chance.random() < 0.2 else "ru"
        sentence = " ".join(chance.sample(words[tongue], min(len(words[tongue]), chance.randint(6, 14)))).capitalize()
        sum_ = f" ${chance.randint(2, 99)} + {chance.randint(2, 99)} = x$" if chance.random() < 0.4 else ""
        sentences.append(f"{sentence}{sum_}.{chance.choice(' ' * 3 + chr(10))}")
    return chains.join("".join(sentences), f"Ответ: {chance.choice(('17', '17 рублей', '18', '17,0'))}")


def candidate(text: str) -> Candidate:
    chain = chains.split(text)
    return Candidate(
        id="c", prompt=QUESTION, sample=0, seed=1, reasoning=chain.reasoning, answer=chain.answer,
        defects=chain.defects, finish_reason="stop", prompt_tokens=1, completion_tokens=2, engine="openai", model="m",
        model_revision="",
        payload="x",
    )  # fmt: skip


def checked(text: str) -> object:
    return checks.checked(Judge(), "", candidate(text))


def answered(text: str) -> object:
    found = answers.extract(text[-40:], "ru")
    return found and answers.verify("17", found.text, "ru")


def speed(check: Callable[[str], object], texts: Sequence[str]) -> float:
    """Texts a second, the best of three rounds."""
    rounds = list[float]()
    for _ in range(3):
        start = time.process_time()
        for text in texts:
            check(text)
        rounds.append(len(texts) / (time.process_time() - start))
    return max(rounds)


def on_all_cores(texts: Sequence[str]) -> tuple[float, float]:
    """Candidates a second by the clock: here one after the other, and as the stage does it."""
    some, check = [candidate(text) for text in texts], partial(checks.checked, Judge(), "")
    start = time.monotonic()
    for one in some:
        check(one)
    alone = len(some) / (time.monotonic() - start)
    cores.WORTH = 0.0
    with cores.spread(check, some * 8) as results:
        list(islice(results, len(some)))  # until all processes are at work
        start = time.monotonic()
        many = sum(1 for _ in results)
    return alone, many / (time.monotonic() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=500)
    count = parser.parse_args().chains
    chance, words = random.Random(0), lexicon.read("words")  # noqa: S311 - no secret
    texts = [response(chance, words) for _ in range(count)]
    checked(texts[0])  # loads the models
    langid.classify(texts[0])
    there = sorted(os.sched_getaffinity(0))
    alone, together = on_all_cores(texts)
    os.sched_setaffinity(0, there[:1])
    everything = speed(checked, texts)
    print(f"all free checks          {everything:9,.0f} chains/s")
    print(f"  taken apart            {speed(chains.split, texts):9,.0f}")
    print(f"  languages              {speed(lambda text: language.report(text, language.LABELS), texts):9,.0f}")
    print(f"  answer found, checked  {speed(answered, texts):9,.0f}")
    print(f"plain langid.classify    {speed(langid.classify, texts[: count // 5]):9,.0f}")
    print(
        f"{len(there)} cores beside one      {together:9,.0f} beside {alone:,.0f}: {together / alone:.2f} times as many"
    )
    print(f"{'met   ' if everything >= 500 else 'MISSED'} 500 chains a second")
    return everything < 500


if __name__ == "__main__":
    sys.exit(main())
