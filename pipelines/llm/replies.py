"""What a server sent, as a `Reply`; Fault "bad-reply" where it is none. Nothing that is read here is trusted."""

from collections.abc import Mapping
from typing import Any

from pipelines.llm import Reply, Token
from pipelines.llm.wire import Fault

FIELDS = ("reasoning", "reasoning_content")
"""Where servers put a think block that they took out of the text."""


def only(answer: Any) -> Mapping[str, Any]:
    """The one choice."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1:
        count = len(choices) if isinstance(choices, list) else "no list of"
        raise Fault("bad-reply", f"the server sent {count} choices where one was asked for")
    if not isinstance(choices[0], dict):
        raise Fault("bad-reply", f"the server sent {type(choices[0]).__name__} where a choice was expected")
    return choices[0]


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault("bad-reply", f"the server sent {type(value).__name__} where text was expected")
    return value


def chat_reply(answer: Any, alternatives: bool = False) -> Reply:
    """Fault "no-logprobs" where `alternatives` were asked for and none came."""
    choice = only(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Fault("bad-reply", "the server sent a choice without a message")
    field = next((name for name in FIELDS if message.get(name)), "")
    reasoning = as_text(message[field]) if field else None
    text, reason = as_text(message.get("content") or ""), choice.get("finish_reason")
    return reply(text, reasoning, reason, answer, field, _tokens(choice) if alternatives else ())


def completion_reply(opening: str, answer: Any) -> Reply:
    choice = only(answer)
    return reply(opening + as_text(choice.get("text")), None, choice.get("finish_reason"), answer)


def reply(
    text: str,
    reasoning: str | None,
    finish_reason: Any,
    answer: Mapping[str, Any],
    field: str = "",
    tokens: tuple[Token, ...] = (),
) -> Reply:
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        raise Fault("bad-reply", "the server did not say how many tokens it used")
    reason = "length" if finish_reason == "length" else "stop"
    return Reply(text, reasoning, reason, prompt, completion, field, tokens=tokens)


def _tokens(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    if not isinstance(content, list) or not any(isinstance(one, dict) and one.get("top_logprobs") for one in content):
        raise Fault("no-logprobs", "the server gives no log-probabilities of what it writes")
    return tuple(_token(one) for one in content)


def _token(one: Any) -> Token:
    others = one.get("top_logprobs") if isinstance(one, dict) else None
    told = [one, *others] if isinstance(others, list) else [one]
    known: dict[str, float] = {}
    for each in told:
        text, logprob = (each.get("token"), each.get("logprob")) if isinstance(each, dict) else (None, None)
        if not isinstance(text, str) or not isinstance(logprob, int | float):
            raise Fault("bad-reply", "the server sent a token without its log-probability")
        known.setdefault(text, float(logprob))
    return Token(told[0]["token"], tuple(known.items()))


def mean(values: list[float]) -> float:
    if not values:
        raise Fault("no-logprobs", "the server gave no log-probability for any token of the response")
    return sum(values) / len(values)
