"""What the Hub answers where it does not do what it is asked, and how long it asks to wait."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers

from pipelines.errors import StageError

LONGEST_WAIT = 900.0
"""Seconds that are waited where the Hub asks for it."""


@contextmanager
def asking(endpoint: str, repo: str) -> Iterator[None]:
    """What goes wrong inside, as a StageError."""
    try:
        yield
    except HfHubHTTPError as error:
        raise StageError(f"{endpoint} answers {reason(error)} about {repo}: try again") from None
    except httpx2.TransportError as error:
        raise unreachable(endpoint, error) from None


def unreachable(endpoint: str, error: BaseException) -> StageError:
    return StageError(f"no Hub answers at {endpoint} ({type(error).__name__}): check HF_ENDPOINT and the network")


def reason(error: HfHubHTTPError) -> str:
    return f"{error.response.status_code} {error.server_message or ''}".strip()


def asked_to_wait(answer: httpx2.Response) -> float:
    """Seconds, as the headers of a busy Hub say; 0 where they say nothing."""
    limit, after = parse_ratelimit_headers(answer.headers), answer.headers.get("retry-after", "")
    told = limit.reset_in_seconds + 1 if limit and limit.remaining == 0 else int(after) if after.isdecimal() else 0
    return min(LONGEST_WAIT, float(told))
