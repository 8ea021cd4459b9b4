"""Hugging Face Jobs on loopback: as much of its API as a launch uses, over real HTTP.

`Jobs.end` and `Jobs.message` are how the next job ends; a job that is to run on until it is cancelled has no end.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass
class Jobs:
    end: str | None = "COMPLETED"
    message: str | None = None
    log: tuple[str, ...] = ("first line", "second line")
    refusal: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    followed: threading.Event = field(default_factory=threading.Event)

    def info(self) -> dict[str, Any]:
        stage = "CANCELED" if self.cancelled.is_set() else self.end or "RUNNING"
        owner = {"id": "1", "name": "somebody", "type": "user"}
        return {"id": "j1", "status": {"stage": stage, "message": self.message}, "owner": owner}


@contextmanager
def serving(jobs: Jobs) -> Iterator[str]:
    """The server's address, for as long as the block runs."""

    async def create(request: Request) -> Response:
        if jobs.refusal:
            return JSONResponse({"error": "told to refuse"}, jobs.refusal)
        jobs.asked.append(await request.json() | {"authorization": request.headers["authorization"]})
        return JSONResponse(jobs.info())

    async def log(request: Request) -> Response:
        jobs.followed.set()
        events = [{"data": line, "timestamp": "2026-01-01T00:00:00Z"} for line in jobs.log]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return StreamingResponse(iter([text]), media_type="text/event-stream")

    async def cancel(request: Request) -> Response:
        jobs.cancelled.set()
        return JSONResponse({})

    app = Starlette(
        routes=[
            Route("/api/whoami-v2", lambda _: JSONResponse({"name": "somebody", "type": "user", "orgs": []})),
            Route("/api/jobs/somebody", create, methods=["POST"]),
            Route("/api/jobs/somebody/j1", lambda _: JSONResponse(jobs.info())),
            Route("/api/jobs/somebody/j1/logs", log),
            Route("/api/jobs/somebody/j1/cancel", cancel, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
