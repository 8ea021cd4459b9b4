"""How likely a text is in each language, by langid's model: naive Bayes over features of up to four bytes.

The model is that of langid.py (Lui and Baldwin 2012); its automaton is walked in numpy here, at all places at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

UNKNOWN_COST = 20.0  # log-odds against a label that langid does not know: its words must make up for it

_Floats = np.ndarray[Any, np.dtype[np.float64]]


def classes() -> tuple[str, ...]:
    """The languages that langid knows."""
    return _model().classes


def score(texts: Sequence[str], columns: tuple[tuple[int, ...], ...]) -> _Floats:
    """langid's log-likelihoods, one row per text and one column per label; the best of a label's classes counts.

    Its automaton knows features of at most four bytes, so the last four give its state, at all places at once; the
    byte 0xFF, which no UTF-8 text holds, sends it back to its root between the texts.
    """
    model = _model()
    rows = [" ".join(text.split()).encode("utf-8", "replace") for text in texts]
    data = np.frombuffer(b"\xff\xff\xff\xff" + b"\xff".join(rows) + b"\xff", np.uint8)
    states = np.zeros(len(data) - 4, np.intp)
    for back in (3, 2, 1, 0):
        states = model.moves[states * 256 + data[4 - back : len(data) - back]].astype(np.intp)
    used = sorted({column for group in columns for column in group})
    weights = _columns(tuple(used))
    totals = np.empty((len(rows), len(used)))
    begin = 0
    for i, row in enumerate(rows):
        inside = states[begin : begin + len(row)]
        totals[i] = weights[inside[model.emits[inside]]].sum(0)
        begin += len(row) + 1
    known = [[used.index(column) for column in group] for group in columns]
    top = totals.max(1, initial=-np.inf) if used else np.zeros(len(rows))
    return np.stack([totals[:, group].max(1) if group else top - UNKNOWN_COST for group in known], axis=1)


@dataclass(frozen=True, slots=True)
class _Model:
    classes: tuple[str, ...]
    moves: np.ndarray[Any, np.dtype[np.uint16]]  # state * 256 + byte -> state
    emits: np.ndarray[Any, np.dtype[np.bool_]]  # per state: whether a feature ends there
    weights: np.ndarray[Any, np.dtype[np.float32]]  # per state and class: log-likelihood of the features ending there


@cache
def _model() -> _Model:
    import langid.langid  # pyright: ignore[reportMissingTypeStubs] # 2.5 MB of source: not before it is needed

    library: Any = langid.langid
    source = library.LanguageIdentifier.from_modelstring(library.model)
    moves = np.array(source.tk_nextmove, np.uint16)
    weights = np.zeros((len(moves) // 256, len(source.nb_classes)), np.float32)
    for state, features in source.tk_output.items():
        for feature in features:
            weights[state] += source.nb_ptc[feature]
    return _Model(tuple(map(str, source.nb_classes)), moves, np.any(weights, axis=1, keepdims=True)[:, 0], weights)


@cache
def _columns(columns: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(_model().weights[:, list(columns)])
