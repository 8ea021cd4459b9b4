"""What the Hub refuses, in the words the clients branch on.

    HubError                 any refusal: status, X-Error-Code, X-Error-Message
      BadRequestError        400  the request makes no sense; the message says why
      UnauthorizedError      401  no token, or one we do not know
      ForbiddenError         403  a token that may not do this
      RepoNotFoundError      404  also for a private repo (401 to the anonymous), so that its existence does not leak
      RevisionNotFoundError  404
      EntryNotFoundError     404
      ConflictError          409  it exists already; `url` is where, which `exist_ok` needs
      StaleParentError       412  someone else committed first
      SlowClientError        408  the rest of the body did not come
      TooLargeError          413
      MisdirectedError       421  a name that is not ours

The app turns them into responses; everything else that escapes a handler is our fault: logged, and a 500.

    ServedError              no refusal: the data folder has an owner already, another process
"""

from collections.abc import Mapping


class ServedError(RuntimeError):
    """Another process serves the folder."""


class HubError(Exception):
    status = 400
    code: str | None = None

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        return {"error": self.message}


class BadRequestError(HubError):
    pass


class InvalidCardError(BadRequestError):
    """A README whose metadata cannot be used; the client prints `errors` one by one."""

    def body(self) -> dict[str, object]:
        return {"error": self.message, "errors": [{"message": self.message}], "warnings": []}


class UnauthorizedError(HubError):
    status = 401


class ForbiddenError(HubError):
    status = 403


class RepoNotFoundError(HubError):
    status = 404
    code = "RepoNotFound"

    def __init__(self, anonymous: bool) -> None:
        super().__init__("Invalid username or password." if anonymous else "Repository not found")
        self.status = 401 if anonymous else 404


class RevisionNotFoundError(HubError):
    status = 404
    code = "RevisionNotFound"

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision}")


class EntryNotFoundError(HubError):
    status = 404
    code = "EntryNotFound"


class NotFoundError(HubError):
    status = 404


class ConflictError(HubError):
    status = 409

    def __init__(self, message: str, url: str | None = None) -> None:
        super().__init__(message)
        self.url = url

    def body(self) -> dict[str, object]:
        return super().body() if self.url is None else {**super().body(), "url": self.url}


class StaleParentError(HubError):
    status = 412

    def __init__(self) -> None:
        super().__init__("A commit has happened since. Please refresh and try again.")


class SlowClientError(HubError):
    status = 408


class TooLargeError(HubError):
    status = 413


class MisdirectedError(HubError):
    status = 421
