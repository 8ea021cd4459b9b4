"""A proxy on loopback before a Hub, that can be told to spoil commits: each takes one fault off the list.

412, 429, 500     that answer, and the commit does not reach the Hub
lost              the connection is closed before the commit reaches the Hub
answer-lost       the commit reaches the Hub, and the connection is closed before its answer is sent
good              nothing is spoiled
"""

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = re.compile(r"/api/(?:models|datasets)/.+/commit/")
HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass
class Plan:
    faults: list[str] = field(default_factory=list)
    always: str | None = None
    """The fault of every commit that none is left for."""
    spoiled: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with a faulty status."""

    def next(self) -> str:
        fault = self.faults.pop(0) if self.faults else self.always or "good"
        self.spoiled += fault != "good"
        return fault


@contextmanager
def proxied(target: str, plan: Plan) -> Iterator[str]:
    """The proxy's address, for as long as the block runs."""
    address = urlsplit(target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = plan.next() if self.command == "POST" and COMMIT.match(self.path) else "good"
            if fault.isdigit():
                self.answer(int(fault), list(plan.headers.items()), b'{"error": "told to refuse"}')
            elif fault != "lost":
                answer, content = self.forward(body)
                if fault == "good":
                    kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
                    self.answer(answer.status, kept, content, answer.getheader("content-length"))
            if fault in ("lost", "answer-lost"):
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815 - the names that the server looks for

        def forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer, content

        def answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
