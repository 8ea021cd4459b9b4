"""Requests through a provider's batch API (OpenAI's files and batches): half the price, an answer within a day.

What is asked within a second becomes one file. A request's name in it is the digest of what it asks, and a batch
carries the recipe's name: a run that was stopped finds its batches at the provider, and waits for them instead of
paying again.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from openai.types import Batch
from pydantic_core import from_json, to_json

from pipelines.llm.public import Public
from pipelines.llm.wire import CONNECT_WITHIN, Answer, Fault, refusal
from pipelines.records import digest

QUIET = 1.0
"""Seconds without a new request after which what was asked is sent."""
MOST = 50_000
"""Requests of one batch, as OpenAI takes them."""
FIRST_LOOK, LAST_LOOK = 0.5, 60.0
"""Seconds until a batch is looked at, the first time and after a while; it doubles."""
UPLOAD_WITHIN = 600.0
ENDED = ("completed", "failed", "expired", "cancelled")
MARK = "thinkin"


class Batches(Public):
    """`name` tells the batches of one recipe from all others; `say` shows a person what is waited for."""

    def __init__(self, url: str, key: str, name: str, say: Callable[[str], None]) -> None:
        super().__init__(url, key)
        self._name, self._say = name, say
        self._answers = dict[str, asyncio.Future[Answer]]()
        self._fresh = dict[str, tuple[str, Mapping[str, Any]]]()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = set[asyncio.Task[None]]()
        self._earlier: dict[str, Batch] | None = None
        """Batches of an earlier run, by the requests in them."""
        self._looking = asyncio.Lock()

    async def post(self, path: str, body: Mapping[str, Any], seconds: float) -> Answer:
        """As `Wire` says, but for `seconds`: the provider takes up to a day."""
        name = digest(path, dict(body))
        if name not in self._answers:
            self._answers[name] = asyncio.get_running_loop().create_future()
            self._fresh[name] = path, body
            self._wait_for_more()
        return await asyncio.shield(self._answers[name])

    async def close(self) -> None:
        """What the provider has begun goes on there, and is found again."""
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await super().close()

    def _wait_for_more(self) -> None:
        if self._timer:
            self._timer.cancel()
        pause = QUIET if len(self._fresh) < MOST else 0.0
        self._timer = asyncio.get_running_loop().call_later(pause, self._send)

    def _send(self) -> None:
        """One batch for each address that was asked."""
        fresh, self._fresh = self._fresh, {}
        for path in {path for path, _ in fresh.values()}:
            wanted = {name: body for name, (there, body) in fresh.items() if there == path}
            task = asyncio.get_running_loop().create_task(self._answer(path, wanted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, path: str, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        try:
            earlier = await self._found()
            known = {name: earlier.pop(name) for name in wanted if name in earlier}
            new = {name: body for name, body in wanted.items() if name not in known}
            batches = {batch.id: batch for batch in known.values()}
            waits = [
                self._follow(batch, [name for name in known if known[name].id == batch.id])
                for batch in batches.values()
            ]
            await asyncio.gather(*waits, *([self._follow(await self._submitted(path, new), list(new))] if new else []))
        except Fault as fault:
            self._fail(wanted, fault)

    async def _found(self) -> dict[str, Batch]:
        """What an earlier run asked for in vain, the newest first."""
        async with self._looking:
            if self._earlier is None:
                page = await self._sent(self._client.batches.list(limit=100), CONNECT_WITHIN)
                ours = [batch for batch in page.data if (batch.metadata or {}).get(MARK) == self._name]
                self._earlier = {}
                for batch in ours:
                    if batch.status not in ("failed", "cancelled", "cancelling"):
                        for line in await self._lines(batch.input_file_id):
                            self._earlier.setdefault(str(line.get("custom_id")), batch)
        return self._earlier

    async def _submitted(self, path: str, wanted: Mapping[str, Mapping[str, Any]]) -> Batch:
        lines = (
            {"custom_id": name, "method": "POST", "url": f"/v1{path}", "body": dict(body)}
            for name, body in wanted.items()
        )
        content = b"\n".join(map(to_json, lines))
        file = await self._sent(
            self._client.files.create(file=("requests.jsonl", content), purpose="batch"), UPLOAD_WITHIN
        )
        batch = await self._sent(
            self._client.batches.create(
                input_file_id=file.id,
                endpoint=f"/v1{path}",  # pyright: ignore[reportArgumentType]
                completion_window="24h",
                metadata={MARK: self._name},
            ),
            CONNECT_WITHIN,
        )
        self._say(f"{len(wanted)} requests are sent as the batch {batch.id}; a stopped run finds it again")
        return batch

    async def _follow(self, batch: Batch, names: list[str]) -> None:
        """Wait until the batch has ended, and hand out what it holds."""
        pause = FIRST_LOOK
        while batch.status not in ENDED:
            await asyncio.sleep(pause)
            pause = min(LAST_LOOK, 2 * pause)
            try:
                batch = await self._sent(self._client.batches.retrieve(batch.id), CONNECT_WITHIN)
            except Fault as fault:
                if fault.final:
                    raise
        lines = [
            line for file in (batch.output_file_id, batch.error_file_id) if file for line in await self._lines(file)
        ]
        told = {str(line.get("custom_id")): line for line in lines}
        why = "; ".join(error.message or "" for error in (batch.errors.data or [])) if batch.errors else ""
        for name in names:
            if name in told:
                self._hand_out(name, told[name])
            else:
                reason = "http-400" if batch.status == "failed" else "timeout"
                self._fail(
                    [name], Fault(reason, f"the batch {batch.id} ended as {batch.status} without an answer: {why}")
                )

    def _hand_out(self, name: str, line: Mapping[str, Any]) -> None:
        response = line.get("response")
        if not isinstance(response, dict) or not isinstance(status := response.get("status_code"), int):
            self._fail([name], Fault("bad-reply", "the batch holds a line that is no answer"))
        elif status != 200:
            self._fail([name], refusal(status, {}, to_json(response.get("body")), self._key))
        else:
            self._answers.pop(name).set_result(Answer(response.get("body")))

    def _fail(self, names: Any, fault: Fault) -> None:
        for name in names:
            if answer := self._answers.pop(name, None):
                answer.set_exception(Fault(fault.reason, str(fault), fault.wait))

    async def _lines(self, file: str) -> list[Mapping[str, Any]]:
        content = await self._sent(self._client.files.content(file), UPLOAD_WITHIN)
        try:
            lines = [from_json(line) for line in content.content.splitlines() if line.strip()]
        except ValueError:
            raise Fault("bad-reply", "the provider's batch file is not one JSON object a line") from None
        return [line for line in lines if isinstance(line, dict)]
