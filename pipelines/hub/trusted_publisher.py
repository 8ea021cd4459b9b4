"""A job on GitHub that writes to the Hub without a secret: its client gets a short-lived token for one repo."""

import os

import httpx2
from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, OIDCError

from pipelines.errors import StageError
from pipelines.hub.replies import reason, unreachable
from pipelines.hub.snapshot import Kind

VARIABLE = "HF_OIDC_RESOURCE"
"""Names the repo whose Trusted Publisher we are."""


def repo() -> str:
    """Empty where we are none."""
    return os.environ.get(VARIABLE, "")


def token(repo: str, kind: Kind) -> str | None:
    """The one that may write `repo`; from then on the client's calls are made with it."""
    os.environ[VARIABLE] = f"{'datasets/' if kind == 'dataset' else ''}{repo}"
    return get_token()


def check(endpoint: str) -> None:
    """StageError where the Hub does not take us as such."""
    try:
        get_token()
    except HfHubHTTPError as error:
        told = f"{endpoint} does not take this job as the Trusted Publisher of {repo()}"
        raise StageError(f"{told}: {reason(error)}") from None
    except OIDCError as error:
        raise StageError(f"this job cannot prove who it is: {error}") from None
    except httpx2.TransportError as error:
        raise unreachable(endpoint, error) from None
