"""A file on the Hub, of which only the bytes that are read are fetched."""

import io
import re
from collections.abc import Mapping

import httpx2
from huggingface_hub.utils import hf_raise_for_status, http_backoff

TAIL = 1 << 16
"""Bytes fetched first: they hold the footer of a parquet file, and often all of a small one."""


class Remote(io.RawIOBase):
    """Read by position. A read inside the tail costs nothing; any other is one request, which the Hub's own
    client repeats where the connection breaks or the Hub is busy."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers, self._at = url, dict(headers), 0
        answer = self._get(f"bytes=-{TAIL}")
        self._tail = answer.content
        total = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("content-range", ""))
        self._size = int(total[1]) if total else len(self._tail)  # a file shorter than the range comes whole

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        start, tail = self._at, self._size - len(self._tail)
        end = self._size if size is None or size < 0 else min(self._size, start + size)
        if start >= end:
            return b""
        content = (
            self._tail[start - tail : end - tail] if start >= tail else self._get(f"bytes={start}-{end - 1}").content
        )
        self._at = start + len(content)
        return content

    def _get(self, span: str) -> httpx2.Response:
        answer = http_backoff("GET", self._url, headers={**self._headers, "Range": span}, follow_redirects=True)
        hf_raise_for_status(answer)
        return answer
