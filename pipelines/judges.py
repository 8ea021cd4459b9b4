"""One judge's opinion of one response. What is judged is untrusted: it is fenced, and only a score can come back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines import chains, instructions
from pipelines.errors import SampleError
from pipelines.llm import Door, Request, Token
from pipelines.llm.probe import Use
from pipelines.recipe import AnyJudge, RubricJudge, Sampling
from pipelines.records import Message, Score

RUBRIC_ATTEMPTS = 3
RUBRIC_TOKENS = 64
SCORES = ("1", "2", "3", "4", "5")


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: a prompt and a response to it."""

    language: str
    text: str
    reasoning: str
    answer: str


class Rubric(BaseModel):
    """What a rubric judge has to answer; also the schema that is sent to the server."""

    model_config = ConfigDict(extra="forbid", strict=True)
    score: Annotated[int, Field(ge=1, le=5)]


class Rating(NamedTuple):
    """What a rubric judge says: the digit that it wrote or, with `weights` of all five, their mean; and the tokens of
    all that was asked and answered for it."""

    value: float
    tokens: int
    weights: tuple[float, ...] = ()


def use(judges: Iterable[AnyJudge], engine: str) -> Use:
    """What the judges behind an engine ask of it."""
    mine = [judge for judge in judges if judge.engine == engine]
    likelihood = any(judge.kind == "likelihood" for judge in mine)
    rubrics = [judge for judge in mine if judge.kind == "rubric"]
    if not rubrics:
        return Use(likelihood=True)
    expected = any(judge.expected for judge in rubrics)
    return Use(_sampling(0), schema=Rubric.model_json_schema(), likelihood=likelihood, alternatives=expected)


async def opinion(judge: AnyJudge, door: Door, case: Case) -> Score:
    if not isinstance(judge, RubricJudge):
        found = await door.likelihood(conversation(case))
        return Score(judge=judge.name, value=found.mean, model=door.model, instruction="", tokens=found.tokens)
    instruction = instructions.load(judge.instruction, case.language)
    messages = instruction.messages(
        text=fenced(case.text),
        reasoning=fenced(case.reasoning),
        answer=fenced(case.answer),
        language_name=instructions.language_name(case.language),
    )
    found = await rate(door, messages, judge.expected)
    told = {"model": door.model, "instruction": instruction.label, "tokens": found.tokens, "weights": found.weights}
    return Score(judge=judge.name, value=found.value, **told)


async def rate(door: Door, messages: tuple[Message, ...], expected: bool = False) -> Rating:
    """The judge's score, from 1 to 5. A judge whose answer cannot be read is asked again, and then is a failure: never
    a score."""
    schema: dict[str, Any] = Rubric.model_json_schema()
    text, tokens = "", 0
    for seed in range(RUBRIC_ATTEMPTS):
        reply = await door.ask(Request(messages, _sampling(seed), seed, schema, alternatives=expected))
        text, tokens = reply.text, tokens + reply.prompt_tokens + reply.completion_tokens
        try:
            written = Rubric.model_validate_json(text).score
        except ValidationError:
            continue
        if not expected:
            return Rating(written, tokens)
        if found := weights(reply.tokens, written):
            return Rating(sum(score * weight for score, weight in enumerate(found, start=1)), tokens, found)
    raise SampleError("unreadable-judge", f"the judge's answer holds no score: {text[:200]!r}", RUBRIC_ATTEMPTS)


def weights(tokens: Sequence[Token], written: int) -> tuple[float, ...]:
    """What the model gave to each score where it wrote this one; their sum is 1. Empty where no token is that score.

    Nothing in the answer but the score is a digit, and a think block comes before it: so its token is the last that is
    one. A server may tell of words that are no score; what they weigh is left out.
    """
    last = next((token for token in reversed(tokens) if token.text.strip() in SCORES), None)
    if last is None or last.text.strip() != str(written):
        return ()
    found: dict[str, float] = dict.fromkeys(SCORES, 0.0)
    for text, logprob in last.alternatives:
        if text.strip() in found:
            found[text.strip()] += exp(logprob)
    total = sum(found.values())
    return tuple(weight / total for weight in found.values()) if total else ()


def _sampling(seed: int) -> Sampling:
    return Sampling(temperature=0.0 if seed == 0 else 0.5, top_p=1.0, max_tokens=RUBRIC_TOKENS)


def fenced(text: str) -> str:
    """Judged text cannot contain the lines that fence it off from the instruction."""
    return text.replace("<<<", "‹‹‹").replace(">>>", "›››")


def conversation(case: Case) -> tuple[Message, ...]:
    response = chains.join(case.reasoning, case.answer)
    return Message(role="user", content=case.text), Message(role="assistant", content=response)
