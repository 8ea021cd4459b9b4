"""The names that the Hub answers to.

A web page can let its own name point to 127.0.0.1 and then read, in the browser of whoever visits it, what a Hub on
loopback shows without a token (DNS rebinding). The browser still sends the page's name as Host. Hence a Hub on
loopback answers to loopback's names only, and to the one it was told to listen at, which is how a reverse proxy on the
same machine passes its public name on. On any other address it was opened to a network whose names it cannot know.
"""

import re
from ipaddress import ip_address

from pipelines.localhub.errors import BadRequestError, MisdirectedError

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def of(host: str, address: str) -> frozenset[str] | None:
    """The names of a Hub told to listen at `host`, which turned out to be `address`; None stands for every name."""
    if not ip_address(address).is_loopback:
        return None
    return frozenset({"localhost", "127.0.0.1", "::1", address, host.lower()})


def check(header: str, names: frozenset[str] | None) -> None:
    """`header` is a request's Host, empty where an old client sent none, as no browser does.

    Raises BadRequestError for what is no host, since our links repeat it; MisdirectedError for a stranger's name.
    """
    if not header:
        return
    found = _HOST.fullmatch(header)
    if not found:
        raise BadRequestError("Host is not a name or address with an optional port")
    name = (found[1] or found[2]).lower()
    if names is not None and name not in names:
        raise MisdirectedError(f"this Hub does not answer to {name}: start it with --host {name} if it should")
