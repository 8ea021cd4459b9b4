"""As whom we talk to the Hub: the token of a person, or a job that is a Trusted Publisher."""

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError

from pipelines.errors import StageError
from pipelines.hub import trusted_publisher
from pipelines.hub.replies import reason, unreachable
from pipelines.hub.repos import Hub


def connect(namespace: str | None, reading: bool = False) -> Hub:
    """The Hub at HF_ENDPOINT under the token of HF_TOKEN (or of `hf auth login`), or as a Trusted Publisher.

    For `reading` alone no token is needed, where the namespace is known.
    """
    endpoint = constants.ENDPOINT
    if publisher := trusted_publisher.repo():
        trusted_publisher.check(endpoint)
        # without a token of its own: the client makes one, and another before it ends after an hour
        return Hub(HfApi(endpoint=endpoint, library_name="thinkin"), namespace or publisher.split("/")[-2])
    token = get_token()
    if not token and reading and namespace:
        return Hub(HfApi(endpoint=endpoint, token=False, library_name="thinkin"), namespace)
    if not token:
        raise StageError(f"there is no token for {endpoint}: set HF_TOKEN to one that may write")
    api = HfApi(endpoint=endpoint, token=token, library_name="thinkin")
    try:
        account = api.whoami()["name"]
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise StageError(f"{endpoint} does not know the token in HF_TOKEN: set one that may write") from None
        raise StageError(f"{endpoint} answers {reason(error)}: check HF_ENDPOINT") from None
    except httpx2.TransportError as error:
        raise unreachable(endpoint, error) from None
    except (ValueError, LookupError, TypeError, httpx2.InvalidURL):
        raise StageError(f"what answers at {endpoint} is no Hub: check HF_ENDPOINT") from None
    return Hub(api, namespace or account)
