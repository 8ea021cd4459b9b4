"""What a server sent, as a `Reply`; SampleError "bad-reply" where it is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import HfHubHTTPError

from pipelines.errors import SampleError
from pipelines.llm import Reply, line


@contextmanager
def readable() -> Iterator[None]:
    """Around a client's call: what the clients raise over a reply that is not JSON, or not that of the API."""
    try:
        yield
    except HfHubHTTPError:  # its BadRequestError is a ValueError, too
        raise
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise SampleError("bad-reply", f"the server's answer cannot be read: {line(error)}") from None


def only(answer: Any) -> Any:
    """The one choice. The clients pass through what is no object, and objects without their fields."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or len(choices) != 1:
        count = len(choices) if isinstance(choices, list) else "no list of"
        raise SampleError("bad-reply", f"the server sent {count} choices where one was asked for")
    return choices[0]


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise SampleError("bad-reply", f"the server sent {type(value).__name__} where text was expected")
    return value


def chat_reply(answer: Any) -> Reply:
    choice = only(answer)
    message = getattr(choice, "message", None)
    if message is None:
        raise SampleError("bad-reply", "the server sent a choice without a message")
    # the field is no part of OpenAI's API: each client keeps it as an attribute that its types do not know
    reasoning = getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None)
    content = as_text(getattr(message, "content", None) or "")
    return reply(content, as_text(reasoning) if reasoning else None, choice.finish_reason, answer.usage)


def reply(text: str, reasoning: str | None, finish_reason: str | None, usage: Any) -> Reply:
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        raise SampleError("bad-reply", "the server did not say how many tokens it used")
    return Reply(text, reasoning, "length" if finish_reason == "length" else "stop", prompt, completion)


def mean(values: list[float]) -> float:
    if not values:
        raise SampleError("no-logprobs", "the server gave no log-probability for any token of the response")
    return sum(values) / len(values)
