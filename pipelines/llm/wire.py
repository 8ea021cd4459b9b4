"""How a request travels: JSON over HTTP to one server, and what goes wrong on the way, as a `Fault`.

`Wire` is what the doors need. `Direct` is for thousands of requests in flight, over `connections`; `public.Public` is
openai's client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from pipelines.llm.connections import CONNECT_WITHIN, Connections, Late, Unreadable

SHORT = 5
"""Characters up to which a key is no secret but a word that a server without keys is given, such as "none"."""


class Fault(Exception):
    """A request that brought no answer. Caught by `retries`, which makes a SampleError of it in the end.

    `reason` is a stable name to group by: http-STATUS, timeout, connection, bad-reply, no-logprobs. `wait` is how many
    seconds the server asks to wait, `sent` when the request went out (monotonic), `share` what part it was of all that
    could be under way then.
    """

    def __init__(self, reason: str, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.wait = reason, wait
        self.sent, self.share = 0.0, 1.0

    @property
    def refused(self) -> bool:
        """Whether the server had no room for the request, and did nothing for it. An empty account has none ever."""
        return self.reason == "http-429" and "insufficient_quota" not in str(self)

    @property
    def final(self) -> bool:
        """Whether the same request can only meet the same end."""
        status = int(self.reason.removeprefix("http-")) if self.reason.startswith("http-") else 0
        temporary = self.refused or status in (408, 409, 425) or status >= 500
        return self.reason == "no-logprobs" or bool(status and not temporary)

    @property
    def broken(self) -> bool:
        """Whether the server itself may be at its end."""
        return self.reason == "connection" or self.reason.startswith("http-5")


@dataclass(frozen=True, slots=True)
class Answer:
    body: Any
    queued: float = 0.0
    """Seconds that the request waited inside the server, where the server tells (TGI does)."""


class Wire(Protocol):
    url: str

    async def post(self, path: str, body: Mapping[str, Any], seconds: float) -> Answer:
        """The answer to `body` within so many seconds; Fault where there is none."""
        ...

    async def get(self, path: str) -> Any: ...

    async def close(self) -> None: ...


class Direct(Wire):
    """Straight to the server, as many connections as there are requests.

    The clients of openai and huggingface_hub look at every connection whenever something happens on one, which tells
    where thousands are under way; tests/benchmarks/generate.py compares them.
    """

    def __init__(self, url: str, key: str) -> None:
        """Only inside a running event loop."""
        self.url, self._key = url.rstrip("/"), key
        self._connections = Connections(self.url)
        self._heads = dict[str, bytes]()

    async def post(self, path: str, body: Mapping[str, Any], seconds: float) -> Answer:
        if path not in self._heads:
            self._heads[path] = self._head("POST", path, {"content-type": "application/json"})
        content = to_json(body)
        return await self._ask(b"%bcontent-length: %d\r\n\r\n%b" % (self._heads[path], len(content), content), seconds)

    async def get(self, path: str) -> Any:
        return (await self._ask(self._head("GET", path, {}) + b"\r\n", CONNECT_WITHIN)).body

    async def close(self) -> None:
        self._connections.close()

    def _head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        key = {"authorization": f"Bearer {self._key}"} if self._key else {}
        return self._connections.head(method, path, {"accept": "application/json", **headers, **key})

    async def _ask(self, request: bytes, seconds: float) -> Answer:
        try:
            response = await self._connections.ask(request, seconds)
        except Late as error:
            raise Fault("timeout", line(error, self._key)) from None
        except OSError as error:
            raise Fault("connection", line(error, self._key)) from None
        except Unreadable as error:
            raise Fault("bad-reply", line(error, self._key)) from None
        if response.status != 200:
            raise refusal(response.status, response.headers, response.content, self._key)
        return read(response.headers, response.content, self._key)


def read(headers: Mapping[str, str], content: bytes, key: str) -> Answer:
    """What stands in a good answer. Fault where it is no JSON."""
    try:
        body = from_json(content)
    except ValueError as error:
        kind = headers.get("content-type", "no content type")
        raise Fault("bad-reply", f"the server's answer ({kind}) is no JSON: {line(error, key)}") from None
    return Answer(body, _seconds(headers.get("x-queue-time", "")) / 1000)


def refusal(status: int, headers: Mapping[str, str], content: bytes, key: str) -> Fault:
    """The fault for an answer with another status than 200, in the server's own words."""
    return Fault(f"http-{status}", f"HTTP {status}: {_said(content, key)}", _wait(headers))


def line(text: object, key: str) -> str:
    """Whatever it is as one line. A server may repeat the key that it was given: nobody else sees it."""
    told = str(text) or type(text).__name__
    told = told.replace(key, "***") if len(key) > SHORT else told
    return " ".join(told.split())[:500]


def _said(content: bytes, key: str) -> str:
    try:
        body = from_json(content)
    except ValueError:
        return line(content.decode(errors="replace"), key)
    error = body.get("error", body) if isinstance(body, dict) else body
    told = error.get("message") if isinstance(error, dict) else None
    code = f" ({error['code']})" if told and isinstance(error.get("code"), str) else ""
    return line(f"{told}{code}" if told else error, key)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; OpenAI says it in milliseconds, too."""
    if milliseconds := _seconds(headers.get("retry-after-ms", "")):
        return milliseconds / 1000
    after = headers.get("retry-after", "").strip()
    if after.replace(".", "", 1).isdecimal():
        return float(after)
    try:
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _seconds(number: str) -> float:
    return float(number) if number.replace(".", "", 1).isdecimal() else 0.0
