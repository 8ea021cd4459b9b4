"""Who am I, and is this card acceptable: the questions that name no repo."""

from starlette.responses import JSONResponse

from pipelines.localhub import cards
from pipelines.localhub.api import wire
from pipelines.localhub.api.call import Call
from pipelines.localhub.errors import UnauthorizedError


def whoami(call: Call) -> JSONResponse:
    if call.caller is None:
        raise UnauthorizedError("Invalid username or password.")
    user, role = call.caller.user, call.caller.role
    return JSONResponse(
        {
            "type": "user",
            "id": user,
            "name": user,
            "fullname": user,
            "email": None,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": {"displayName": "local", "role": role}},
        }
    )


def validate_yaml(call: Call) -> JSONResponse:
    content = call.parse(wire.Card).content
    warnings = [] if cards.check(content) else [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse({"errors": [], "warnings": warnings})
