"""Whom a request is addressed to: the server, and the proxy that the environment names."""

import base64
import urllib.request
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from pipelines.errors import StageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def proxy(url: str) -> SplitResult | None:
    """What the environment names as proxy (https_proxy, no_proxy), asked once for all requests. None leads to
    a server on this machine. StageError where it is of another kind than HTTP."""
    server = urlsplit(url)
    if server.hostname in LOOPBACK or urllib.request.proxy_bypass(server.hostname or ""):
        return None
    named = urllib.request.getproxies().get(server.scheme)
    if not named:
        return None
    found = urlsplit(named if "://" in named else f"http://{named}")
    if found.scheme != "http":
        raise StageError(f"{server.scheme}_proxy names a proxy of kind {found.scheme}: only http:// is known")
    return found


def authority(address: SplitResult, whole: bool = False) -> str:
    """Name and port as HTTP wants them; `whole` with the port in any case."""
    name = (address.hostname or "").encode("idna").decode()
    port = address.port or ((443 if address.scheme == "https" else 80) if whole else None)
    return (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")


def authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def head(line: str, headers: Mapping[str, str]) -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "")).encode()
