"""How often intervals hold the truth, tests find what is not there, and the least difference is found.

    python tests/benchmarks/intervals.py [--runs 400]

Benchmark sets are drawn from known truths: the items' difficulties from a beta distribution (spread 1: most items are
always or never solved; 4: they differ little), and k answers to each. Prints a table; exit code 1 where an interval for
30 items or more holds the truth in less than 88 % or a test finds something in more than 8 % of the sets.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipelines.estimates import Floats, paired, ratios

ITEMS, SAMPLES, TRUTHS, SPREADS = (30, 100, 250), (1, 4), (0.05, 0.5, 0.9), (1.0, 4.0)


def scores(rng: np.random.Generator, items: int, samples: int, truth: float, spread: float) -> Floats:
    return rng.binomial(samples, rng.beta(truth * spread, (1 - truth) * spread, size=items)) / samples


def holds(values: Floats, truth: float) -> bool:
    (found,) = ratios(values[:, None], np.ones((len(values), 1)), [True])
    return found.low <= truth <= found.high


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    good = True
    print(f"share of {runs} sets whose 95 % interval holds the truth")
    print("items  k  truth  spread  share")
    for items, samples, truth, spread in product(ITEMS, SAMPLES, TRUTHS, SPREADS):
        share = np.mean([holds(scores(rng, items, samples, truth, spread), truth) for _ in range(runs)])
        good &= bool(share >= 0.88)
        print(f"{items:5} {samples:2} {truth:6} {spread:7} {share:6.3f}")
    print(f"share of {runs} sets in which a difference is found (p < 0.05), and whose interval holds it")
    print("items  k  difference  found  holds")
    for items, samples in product(ITEMS, SAMPLES):
        for difference in (0.0, None):
            found, held, used = [], [], difference or 0.0
            for _ in range(runs):
                skill = rng.beta(2, 2, size=items)
                base = rng.binomial(samples, skill) / samples
                if difference is None:  # the least one that a set of this kind says it could show
                    same = rng.binomial(samples, skill) / samples
                    used = paired(same - base, np.ones(items)).least
                    base = base - used  # what is compared is only the difference
                other = rng.binomial(samples, skill) / samples
                result = paired(other - base, np.ones(items))
                found.append(result.p < 0.05)
                held.append(result.low <= used <= result.high)
            good &= difference is None or float(np.mean(found)) <= 0.08
            name = "none" if difference == 0.0 else "least"
            print(f"{items:5} {samples:2} {name:>11} {np.mean(found):6.3f} {np.mean(held):6.3f}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
