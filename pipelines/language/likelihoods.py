"""How likely a text is in each language, by langid's model: naive Bayes over features of up to four bytes.

The model is that of langid.py (Lui and Baldwin 2012); its automaton is walked in numpy here, at all places at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

UNKNOWN_COST = 10.0  # log-odds against a label that langid does not know: its words must make up for it
BATCH = 1000  # bytes at once: few enough to stay in the cache, and for BLAS not to wait for a second thread
_ROOT = b"\xff"

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.intp]]


def classes() -> tuple[str, ...]:
    """The languages that langid knows."""
    return _model().classes


def score(texts: Sequence[str], columns: tuple[tuple[int, ...], ...]) -> Floats:
    """langid's log-likelihoods, one row per text and one column per label; the best of a label's classes counts."""
    used = tuple(sorted({column for group in columns for column in group}))
    totals = _likelihoods(texts, used)
    known = [[used.index(column) for column in group] for group in columns]
    top = totals.max(1, initial=-np.inf) if used else np.zeros(len(texts))
    return np.stack([totals[:, group].max(1) if group else top - UNKNOWN_COST for group in known], axis=1)


def decide(texts: Sequence[str]) -> list[str]:
    """langid's own decision for each text, out of all its languages: what its `classify` says, many times faster."""
    model = _model()
    totals = _likelihoods(texts, tuple(range(len(model.classes)))) + model.prior
    return [model.classes[i] for i in totals.argmax(1)]


def added(values: Floats, owners: Ints, count: int) -> Floats:
    """The sum of the rows of each owner; `owners` rise from row to row and are less than `count`."""
    sums = np.zeros((count, values.shape[1]))
    if len(owners):
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        sums[owners[starts]] = np.add.reduceat(values, starts)
    return sums


def _likelihoods(texts: Sequence[str], columns: tuple[int, ...]) -> Floats:
    """One row per text, one column per class of langid, without the classes' own probabilities."""
    model, weights = _model(), _columns(columns)
    rows = [text.encode("utf-8", "replace") for text in texts]
    totals = np.empty((len(rows), len(columns)))
    step = 1 + BATCH * len(rows) // (1 + sum(map(len, rows)))
    for begin in range(0, len(rows), step):
        batch = rows[begin : begin + step]
        states = _states(_ROOT * 4 + _ROOT.join(batch) + _ROOT, model)
        used = np.flatnonzero(model.emits & (np.bincount(states, minlength=len(model.emits)) > 0))
        places = np.full(len(model.emits), len(used))  # of the states among those used; the others share the last
        places[used] = np.arange(len(used))
        owners = np.repeat(np.arange(len(batch)), [len(row) + 1 for row in batch])
        size = len(used) + 1
        counts = np.bincount(owners * size + places[states], minlength=len(batch) * size).reshape(-1, size)
        totals[begin : begin + step] = counts[:, :-1].astype(np.float64) @ weights[used]
    return totals


def _states(data: bytes, model: "_Model") -> Ints:
    """The state of langid's automaton after each byte from the fifth on.

    It knows features of at most four bytes, so the last four give its state, at all places at once; the byte 0xFF,
    which no UTF-8 text holds, sends it back to its root between the texts.
    """
    points = np.frombuffer(data, np.uint8)
    pairs = points[:-1].astype(np.intp)
    pairs <<= 8
    pairs += points[1:]
    states = model.pairs.take(pairs[1:-2], mode="clip")
    for ahead in (3, 4):
        states += points[ahead : len(points) - 4 + ahead]
        states = model.moves.take(states, mode="clip")
    states >>= 8
    return states


@dataclass(frozen=True, slots=True)
class _Model:
    classes: tuple[str, ...]
    prior: Floats  # log-probability of each class
    pairs: Ints  # two bytes -> 256 * the state after them
    moves: Ints  # 256 * state + byte -> 256 * state
    emits: np.ndarray[Any, np.dtype[np.bool_]]  # per state: whether a feature ends there
    weights: Floats  # per state and class: log-likelihood of the features ending there


@cache
def _model() -> _Model:
    import langid.langid  # pyright: ignore[reportMissingTypeStubs] # 2.5 MB of source: not before it is needed

    library: Any = langid.langid
    source = library.LanguageIdentifier.from_modelstring(library.model)
    moves = np.array(source.tk_nextmove, np.intp) * 256
    pairs = moves[moves[:256, np.newaxis] + np.arange(256)].ravel()
    weights = np.zeros((len(moves) // 256, len(source.nb_classes)))
    for state, features in source.tk_output.items():
        for feature in features:
            weights[state] += source.nb_ptc[feature]
    names = tuple(map(str, source.nb_classes))
    return _Model(names, np.array(source.nb_pc), pairs, moves, np.any(weights, axis=1), weights)


@cache
def _columns(columns: tuple[int, ...]) -> Floats:
    return np.ascontiguousarray(_model().weights[:, list(columns)])
