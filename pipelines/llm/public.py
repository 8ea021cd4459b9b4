"""openai's own client as a `Wire`: for judges and translators of an API that somebody else runs.

It knows what that API wants beside the key (organisation and project, from the environment). For thousands of requests
in flight it is too slow: see `wire.Direct`.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import httpx2
import openai

from pipelines.llm.wire import CONNECT_WITHIN, Answer, Fault, Wire, line, read, refusal

T = TypeVar("T")
BEARS = 64
"""Requests in flight up to which it costs little more than `Direct`."""


class Public(Wire):
    def __init__(self, url: str, key: str) -> None:
        self.url, self._key = url.rstrip("/"), key
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=0, timeout=None)

    async def post(self, path: str, body: Mapping[str, Any], seconds: float) -> Answer:
        response = await self._sent(self._client.post(path, cast_to=httpx2.Response, body=dict(body)), seconds)
        return read(response.headers, response.content, self._key)

    async def get(self, path: str) -> Any:
        response = await self._sent(self._client.get(path, cast_to=httpx2.Response), CONNECT_WITHIN)
        return read(response.headers, response.content, self._key).body

    async def close(self) -> None:
        await self._client.close()

    async def _sent(self, request: Awaitable[T], seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await request
        except openai.APIStatusError as error:
            response = error.response
            raise refusal(response.status_code, response.headers, response.content, self._key) from None
        except (TimeoutError, openai.APITimeoutError):
            raise Fault("timeout", f"no answer within {seconds:.0f} s") from None
        except (openai.APIConnectionError, httpx2.RequestError, OSError) as error:
            raise Fault("connection", line(error.__cause__ or error, self._key)) from None
