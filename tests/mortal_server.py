"""A server as a process that is quick to start, and that a request which holds POISON kills.

python tests/mortal_server.py PORT
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POISON = "kill the server"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({})

    def do_POST(self) -> None:
        if POISON.encode() in self.rfile.read(int(self.headers["content-length"])):
            os._exit(9)
        time.sleep(0.05)  # the model at work
        choice = {"message": {"content": "an answer"}, "finish_reason": "stop"}
        self._send({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})

    def _send(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
