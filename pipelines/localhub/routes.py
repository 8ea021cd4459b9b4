"""Every address the Hub answers, in the order they are tried.

Matched on the raw path, because a revision such as `refs/pr/1` arrives as one %2F-quoted segment, which the
decoded path would take for three.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.responses import Response

from pipelines.localhub import pages
from pipelines.localhub.api import accounts, contents, downloads, repositories, threads, uploads, xet
from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import BadRequestError

Handler = Callable[[Call], Response] | Callable[[Call], Awaitable[Response]]

_PLACES = {
    "kind": "models|datasets",
    "kind/": "(?:(?P<kind>datasets)/)?",
    "repo": "[^/]+/[^/]+",
    "repo.git": "[^/]+/[^/]+",
    "num": r"\d{1,9}",
    "path": ".+",
    "sha256": "[0-9a-f]{64}",
    "xorb": "[0-9a-f]{64}",
}


@dataclass(frozen=True)
class Route:
    methods: tuple[str, ...]
    expression: re.Pattern[str]
    handler: Handler


def _route(methods: str, template: str, handler: Handler) -> Route:
    def place(found: re.Match[str]) -> str:
        name = found[1]
        pattern = _PLACES.get(name, "[^/]+")
        return pattern if name.endswith("/") else f"(?P<{name}>{pattern})"

    expression = re.sub(r"\{([a-z0-9/]+)\}", place, template.replace(".", r"\."))
    return Route(tuple(methods.split()), re.compile(expression), handler)


ROUTES = [
    _route("GET", "/api/whoami-v2", accounts.whoami),
    _route("POST", "/api/validate-yaml", accounts.validate_yaml),
    _route("POST", "/api/repos/create", repositories.create),
    _route("DELETE", "/api/repos/delete", repositories.delete),
    _route("POST", "/api/repos/move", repositories.move),
    _route("GET", "/api/settings/repositories", repositories.own),
    _route("GET", "/api/{kind}", repositories.listing),
    _route("GET", "/api/{kind}/{repo}", repositories.info),
    _route("GET", "/api/{kind}/{repo}/revision/{rev}", repositories.info),
    _route("POST", "/api/{kind}/{repo}/duplicate", repositories.duplicate),
    _route("PUT", "/api/{kind}/{repo}/settings", repositories.settings),
    _route("GET", "/api/{kind}/{repo}/auth-check", repositories.auth_check),
    _route("GET", "/api/{kind}/{repo}/auth-check/write", repositories.auth_check_write),
    _route("GET", "/api/{kind}/{repo}/tree/{rev}", contents.tree),
    _route("GET", "/api/{kind}/{repo}/tree/{rev}/{path}", contents.tree),
    _route("POST", "/api/{kind}/{repo}/paths-info/{rev}", contents.paths_info),
    _route("GET", "/api/{kind}/{repo}/commits/{rev}", contents.commit_list),
    _route("GET", "/api/{kind}/{repo}/refs", contents.refs),
    _route("POST", "/api/{kind}/{repo}/branch/{branch}", contents.create_branch),
    _route("DELETE", "/api/{kind}/{repo}/branch/{branch}", contents.delete_branch),
    _route("POST", "/api/{kind}/{repo}/tag/{rev}", contents.create_tag),
    _route("DELETE", "/api/{kind}/{repo}/tag/{rev}", contents.delete_tag),
    _route("POST", "/api/{kind}/{repo}/super-squash/{branch}", contents.super_squash),
    _route("POST", "/api/{kind}/{repo}/preupload/{rev}", uploads.preupload),
    _route("POST", "/api/{kind}/{repo}/commit/{rev}", uploads.commit),
    _route("POST", "/{kind/}{repo}.git/info/lfs/objects/batch", uploads.large_batch),
    _route("PUT", "/lfs/{sha256}", uploads.put_large),
    _route("GET", "/api/{kind}/{repo}/xet-write-token/{rev}", xet.write_token),
    _route("POST", "/xet/{store}/v1/xorbs/default/{xorb}", xet.put_xorb),
    _route("POST", "/xet/{store}/v1/shards", xet.put_shard),
    _route("POST", "/xet/{store}/v2/shards", xet.put_shard_and_hear),
    _route("POST", "/api/{kind}/{repo}/discussions", threads.create),
    _route("GET", "/api/{kind}/{repo}/discussions", threads.listing),
    _route("GET", "/api/{kind}/{repo}/discussions/{num}", threads.details),
    _route("POST", "/api/{kind}/{repo}/discussions/{num}/comment", threads.comment),
    _route("POST", "/api/{kind}/{repo}/discussions/{num}/title", threads.title),
    _route("POST", "/api/{kind}/{repo}/discussions/{num}/status", threads.status),
    _route("POST", "/api/{kind}/{repo}/discussions/{num}/merge", threads.merge),
    _route("GET POST PUT DELETE", "/api/{kind}/{repo}/{path}", repositories.not_served),
    _route("GET HEAD", "/{kind/}{repo}/resolve/{rev}/{path}", downloads.resolve),
    _route("GET HEAD", "/", pages.repo_list),
    _route("GET HEAD", "/style.css", pages.style),
    _route("GET HEAD", "/{kind/}{repo}", pages.repo_page),
    _route("GET HEAD", "/{kind/}{repo}/tree/{rev}", pages.repo_page),
    _route("GET HEAD", "/{kind/}{repo}/commit/{rev}", pages.repo_page),
]


def match(method: str, raw_path: str) -> tuple[Handler, dict[str, str]] | None:
    """The handler and what the address names, decoded; None for an address we do not know."""
    for route in ROUTES:
        found = route.expression.fullmatch(raw_path)
        if found and method in route.methods:
            return route.handler, {name: _decode(value) for name, value in found.groupdict().items() if value}
    return None


def _decode(quoted: str) -> str:
    try:
        value = unquote(quoted, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequestError("the address is not UTF-8") from error
    if "\0" in value:
        raise BadRequestError("the address contains a NUL")
    return value
