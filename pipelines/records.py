"""Every row that touches the Hub: one frozen type per repo, validated when it is read.

Ids are content hashes and never change, so a row can be found again from any machine, and a sample that was paid
for once is recognised before it is paid for twice.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["system", "user", "assistant"]
Outcome = Literal["right", "wrong", "undecidable"]
Origin = Literal["native", "translated", "mixed"]
"""Of a chain: native and translated ones are in the language of the question throughout, which was written in it or
translated into it; a part of a mixed one is in another language."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")


class Row(Record):
    """A record that has an id, and so can stand in a repo."""

    id: str


class Prompt(Row):
    """What a model is asked, where it came from, and the answer it should reach (`gold`, None where unknown)."""

    language: str
    text: str
    source_text: str
    source_language: str
    dataset: str
    source_row: str
    family: str
    gold: str | None
    translator: str | None
    defects: tuple[str, ...]
    """The checks this prompt failed; a prompt with any is published under `rejected`."""


class Candidate(Row):
    """One sample of the teacher for one prompt.

    `reasoning` is the inside of the think block (None where there was none), `answer` the text after it.
    """

    prompt: Prompt
    sample: int
    seed: int
    reasoning: str | None
    answer: str
    defects: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    engine: str
    model: str
    model_revision: str
    payload: str
    """Digest of the request apart from prompt and seed: messages around it, sampling, opening."""
    passed: bool | None = None
    """What the checks without a model said, where they decided how many samples to take (`generate.adaptive`)."""


class Share(Record):
    language: str
    share: float


class Score(Record):
    """One judge's opinion. `instruction` names the text it was told, with its digest; empty for a likelihood. `tokens`
    are those of question and answer, over all attempts; None for a row from before they were counted. `weights` are
    what the model gave to each score from 1 to 5, where the value is their mean; empty where it is the score it wrote.
    """

    judge: str
    value: float
    model: str
    instruction: str
    tokens: int | None = None
    weights: tuple[float, ...] = ()


class Judged(Candidate):
    """A candidate and all that was found out about it.

    `stopped` names the first check that it failed (`structure`, `language`, `answer`, or a judge), None when it
    passed all of them. Later checks are not run, so their columns are empty: cheap checks come before dear ones.
    """

    candidate: str
    """The candidate's id; the row's own id covers what it was judged by, too."""
    stopped: str | None
    reason: str | None
    think_language: str | None
    think_purity: float | None
    answer_language: str | None
    shares: tuple[Share, ...]
    extracted: str | None
    outcome: Outcome | None
    scores: tuple[Score, ...]

    def score(self, judge: str) -> float | None:
        return next((score.value for score in self.scores if score.judge == judge), None)


class Compared(Row):
    """What a judge said of a response that people scored (`calibration`). It holds neither the text nor their scores,
    which may be private."""

    language: str
    score: Score


class Message(Record):
    role: Role
    content: str


OUTRANKED = "place"
"""How the reason of a row begins that passed all checks: other candidates of its prompt were better."""


class Conversation(Row):
    """A training example. In config `rejected`, `reason` says why it was not chosen."""

    language: str
    messages: tuple[Message, ...]
    prompt: Prompt
    candidate: str
    teacher: str
    teacher_revision: str
    outcome: Outcome | None
    scores: tuple[Score, ...]
    tokens: int
    reason: str | None
    origin: Origin = "native"

    @property
    def passed(self) -> bool:
        """Whether nothing spoke against it and its answer is right, chosen or not."""
        return self.outcome == "right" and (self.reason is None or self.reason.startswith(OUTRANKED))


class Term(Record):
    """A part of a reward."""

    name: str
    value: float


class Rollout(Row):
    """A response of the model while it was reinforced, and what it was worth.

    `gate` says why nothing in it counted, None where the reward is the sum of `terms`; `reward` is None where the
    answer could not be decided. The responses to a prompt in one step are a group: its samples count from 0.
    """

    step: int
    prompt: str
    """The id of a `Prompt`."""
    sample: int
    language: str
    question: str
    gold: str
    reasoning: str | None
    answer: str
    defects: tuple[str, ...]
    tokens: int
    reward: float | None
    gate: str | None
    terms: tuple[Term, ...]


class Result(Row):
    """One sample of one model, asked in one way, for one benchmark item.

    The think block of a model that writes none is empty, so the language of the whole output stands beside it.
    """

    model: str
    model_revision: str
    way: str
    benchmark: str
    family: str
    language: str
    item: str
    question: str
    gold: str
    sample: int
    reasoning: str | None
    answer: str
    defects: tuple[str, ...]
    finish_reason: str
    completion_tokens: int
    valid_think: bool
    think_language: str | None
    think_strict: bool
    answer_in_language: bool
    output_language: str
    output_strict: bool
    extracted: str | None
    outcome: Outcome
    correct: bool
    joint: bool
    """Thinks in the language (every segment), answers in the language, and is right."""
    switches: int | None = None
    """Changes of language inside the think block; like what follows, not known of rows from before it was counted."""
    source_row: str | None = None
    """The item's place in its source, which its translations share."""
    instruction: str | None = None


class Failure(Row):
    """A sample that failed after its retries: never a missing row, and taken up again by the next run."""

    stage: str
    language: str
    error: str
    message: str
    attempts: int


_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def digest(*parts: object) -> str:
    """The first 16 hex digits of the SHA-256 of the parts as canonical JSON: what all ids are made of."""
    return _digest(_canonical(parts))


def digests(before: Sequence[object], numbers: Iterable[int], after: Sequence[object]) -> Iterator[str]:
    """`digest(*before, number, *after)` of each number, at a fraction of its cost; neither sequence may be empty."""
    head, tail = _canonical(before)[:-1], _canonical(after)[1:]
    return (_digest(f"{head},{number},{tail}") for number in numbers)


def _digest(canonical: str) -> str:
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


RECORDS: Mapping[str, type[Row]] = {
    "prompts": Prompt,
    "generate": Candidate,
    "judge": Judged,
    "choose": Conversation,
    "reinforce": Rollout,
    "evaluate": Result,
}
"""What the rows of each stage's data-set repo are."""
