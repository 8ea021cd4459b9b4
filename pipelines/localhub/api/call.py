"""One request, as a handler sees it: who calls, what the URL names, what the body says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from sqlite3 import Connection
from typing import TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from pipelines.localhub.errors import BadRequestError, ForbiddenError, RepoNotFoundError, UnauthorizedError
from pipelines.localhub.hub import Hub
from pipelines.localhub.store import repos
from pipelines.localhub.store.repos import Kind, Repo
from pipelines.localhub.store.tokens import Identity

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    hub: Hub
    request: Request
    args: Mapping[str, str]
    caller: Identity | None
    body: bytes = b""

    @property
    def headers(self) -> Headers:
        return self.request.headers

    @property
    def query(self) -> QueryParams:
        return self.request.query_params

    @cached_property
    def origin(self) -> str:
        """Our address as this client knows it: links must lead back through the same door."""
        return str(self.request.base_url).rstrip("/")

    @property
    def kind(self) -> Kind:
        """Models are what a URL without a prefix means."""
        return cast(Kind, self.args.get("kind") or "models")

    @property
    def path(self) -> str:
        return self.args.get("path", "").strip("/")

    @property
    def revision(self) -> str:
        return self.args.get("rev", "main")

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def number(self, name: str, default: int = 0) -> int:
        text = self.query.get(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise BadRequestError(f"{name} is a number")
        return int(text)

    def parse(self, model: type[Body]) -> Body:
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error

    def repo(self, db: Connection) -> Repo:
        """The repo the URL names, if this caller may see it."""
        return self.visible(db, self.kind, self.args["repo"])

    def visible(self, db: Connection, kind: Kind, repo_id: str) -> Repo:
        repo = repos.find(db, kind, repo_id)
        if repo is None or (repo.private and self.caller is None):
            raise RepoNotFoundError(anonymous=self.caller is None)
        return repo

    def writer(self) -> str:
        """The user, if this caller may write."""
        if self.caller is None:
            raise UnauthorizedError("Invalid username or password.")
        if self.caller.role != "write":
            raise ForbiddenError("this token may only read")
        return self.caller.user

    def url(self, *segments: str) -> str:
        return "/".join([self.origin, *(quote(segment) for segment in segments)])


def explain(error: ValidationError) -> str:
    """The first thing wrong, without echoing the input."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
