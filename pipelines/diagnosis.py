"""When so many samples fail that the run should stop, and what it tells a person then.

A failed sample is a row, and the run goes on. Where most samples fail, going on only costs money and time: the fault is
in the server, in the recipe or in the key, and all of them will meet it.
"""

import re
from collections import Counter, deque
from dataclasses import dataclass, field

from pipelines.errors import StageError

WINDOW, TOO_MANY = 100, 0.6
"""Of the last so many samples, the share that may fail."""
FEWEST = 20
"""Failures before anything is said of a share."""
CUT_OFF = 0.95
"""Share of answers that may end at max_tokens; some questions do need longer thoughts than others."""

_CONTEXT = re.compile(r"context|max_model_len|max_total_tokens|too long|tokens", re.IGNORECASE)
_ADVICE = {
    "connection": "the server is gone, or the way to it is cut: look at its log, and at the engine's `url`",
    "timeout": "the server is stuck, or has too much to do: lower the engine's `parallel`, or raise `timeout` and "
    "`token_timeout`",
    "http-401": "the key is refused: look at the variable that the engine's `api_key` names",
    "http-403": "the key is refused, or may not use this model: look at the variable that the engine's `api_key` names",
    "http-404": "the server knows no such model or address: look at the engine's `model` and `url`",
    "http-429": "the server takes no more requests: wait, lower `parallel`, or look at the account's limits",
    "bad-reply": "what answers does not speak the API that was expected: look at the engine's `kind` and `url`",
    "no-logprobs": "the server cannot say how likely a text is: this judge needs kind batched, vllm or tgi",
    "unreadable-judge": "the judge does not answer as it is told: use an engine that keeps to a JSON schema, or "
    "a larger model",
}


@dataclass
class Watch:
    """Looks at what becomes of each sample, in the order in which they end."""

    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """Why each of the last samples failed; "" for one that did not."""

    def succeeded(self) -> None:
        self._recent.append("")

    def failed(self, reason: str, message: str) -> None:
        """StageError, with what is wrong and what to do, where too many of the last samples failed."""
        self._recent.append(reason)
        reasons = Counter(filter(None, self._recent))
        failed, seen = reasons.total(), len(self._recent)
        if failed >= FEWEST and failed > TOO_MANY * seen:
            told = ", ".join(f"{count} x {name}" for name, count in reasons.most_common(3))
            raise StageError(f"{failed} of the last {seen} samples failed ({told}). {diagnosed(reasons, message)}")


@dataclass
class CutOff:
    """Looks at how answers end: a teacher that never comes to its end is paid for nothing."""

    max_tokens: int
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def ended(self, finish_reason: str) -> None:
        self._recent.append(finish_reason == "length")
        if len(self._recent) == WINDOW and sum(self._recent) > CUT_OFF * WINDOW:
            raise StageError(
                f"{sum(self._recent)} of the last {WINDOW} answers were cut off at {self.max_tokens} tokens, and "
                "cannot be used: raise sampling.max_tokens, or raise its repetition_penalty where they go in circles"
            )


def diagnosed(reasons: Counter[str], last: str) -> str:
    """What is wrong and what to do, for the most frequent reason, and the last failure in its own words."""
    reason = reasons.most_common(1)[0][0]
    if reason in ("http-400", "http-413", "http-422"):
        advice = "the server refuses what it is asked, in the words below"
        if _CONTEXT.search(last):
            advice = "prompt and answer do not fit into the model's context: lower max_tokens, or raise `context`"
    elif reason.startswith("http-5"):
        advice = "the server fails: look at its log"
    else:
        advice = _ADVICE.get(reason, "the reason is below")
    return f"{advice[0].upper()}{advice[1:]}. The last one: {last}"
