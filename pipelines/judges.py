"""One judge's opinion of one response. What is judged is untrusted: it is fenced, and only a score can come back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines import chains, instructions
from pipelines.errors import SampleError
from pipelines.llm import Door, Request
from pipelines.llm.probe import Use
from pipelines.recipe import AnyJudge, RubricJudge, Sampling
from pipelines.records import Message, Score

RUBRIC_ATTEMPTS = 3
RUBRIC_TOKENS = 64


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


def use(judges: Iterable[AnyJudge], engine: str) -> Use:
    """What the judges behind an engine ask of it."""
    kinds = {judge.kind for judge in judges if judge.engine == engine}
    if "rubric" not in kinds:
        return Use(likelihood=True)
    return Use(_sampling(0), schema=Rubric.model_json_schema(), likelihood="likelihood" in kinds)


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
    value, tokens = await rate(door, messages)
    told = instruction.label
    return Score(judge=judge.name, value=float(value), model=door.model, instruction=told, tokens=tokens)


async def rate(door: Door, messages: tuple[Message, ...]) -> tuple[int, int]:
    """A whole number from 1 to 5, and the tokens of all that was asked and answered for it. A judge whose answer cannot
    be read is asked again, and then is a failure: never a score."""
    schema: dict[str, Any] = Rubric.model_json_schema()
    text, tokens = "", 0
    for seed in range(RUBRIC_ATTEMPTS):
        reply = await door.ask(Request(messages, _sampling(seed), seed, schema))
        text, tokens = reply.text, tokens + reply.prompt_tokens + reply.completion_tokens
        try:
            return Rubric.model_validate_json(text).score, tokens
        except ValidationError:
            continue
    raise SampleError("unreadable-judge", f"the judge's answer holds no score: {text[:200]!r}", RUBRIC_ATTEMPTS)


def _sampling(seed: int) -> Sampling:
    return Sampling(temperature=0.0 if seed == 0 else 0.5, top_p=1.0, max_tokens=RUBRIC_TOKENS)


def fenced(text: str) -> str:
    """Judged text cannot contain the lines that fence it off from the instruction."""
    return text.replace("<<<", "‹‹‹").replace(">>>", "›››")


def conversation(case: Case) -> tuple[Message, ...]:
    response = chains.join(case.reasoning, case.answer)
    return Message(role="user", content=case.text), Message(role="assistant", content=response)
