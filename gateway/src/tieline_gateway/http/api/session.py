"""`/v1/session`: sign a browser in with a token, say who it is, sign it out."""

from __future__ import annotations

import time
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from tieline.errors import UnauthenticatedError
from tieline_gateway.access.admission import Credentials
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.sessions import Session
from tieline_gateway.http.operation import Asked, Nothing, Operation
from tieline_gateway.http.serving import JSON, peer_of

_MOST_BYTES = 16_384
_MS = 1000


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody shows to be let in."""

    token: str


class Who(msgspec.Struct, omit_defaults=True):
    """Who one is, and what one may do."""

    name: str
    authenticated: bool
    """False where the gateway asks nobody who they are."""
    everything: bool
    """There are no rules: all is allowed."""
    permissions: dict[str, list[str]] = {}
    services: list[str] | None = None
    csrf: str = ""
    """Of a session: to be sent as `x-csrf-token` with everything but GET."""
    expires: int = 0
    """When the session ends, milliseconds since 1970."""


async def sign_in(asked: Asked[Nothing, SignIn]) -> Response:
    """Begin a session, of which the cookie that is set is the name."""
    entrance = asked.request.state.entrance
    address = asked.request.client.host if asked.request.client else ""
    entrance.failures.check(address)
    credentials = Credentials(asked.body.token)
    try:
        principal = entrance.watch.admit(credentials, peer_of(asked.request.scope))
    except UnauthenticatedError:
        entrance.failures.add(address)
        raise
    session = entrance.sessions.begin(credentials)
    told = _who(principal, session, authenticated=not entrance.watch.open)
    answer = Response(msgspec.json.encode(told), HTTPStatus.OK, {"cache-control": "no-store"}, JSON)
    _set_cookie(answer, asked, session)
    return answer


async def who(asked: Asked[Nothing, Nothing]) -> Response:
    """Say who one is, and what one may do."""
    state = asked.request.state
    told = _who(asked.principal, state.session, authenticated=not state.entrance.watch.open)
    return Response(msgspec.json.encode(told), HTTPStatus.OK, {"cache-control": "no-store"}, JSON)


async def sign_out(asked: Asked[Nothing, Nothing]) -> Response:
    """End the session."""
    session, entrance = asked.request.state.session, asked.request.state.entrance
    if session is not None:
        entrance.sessions.end(session.name)
    answer = Response(status_code=HTTPStatus.NO_CONTENT)
    browsers = entrance.browsers
    answer.delete_cookie(browsers.cookie, secure=browsers.secure, httponly=True, samesite="strict")
    return answer


def _who(principal: Principal, session: Session | None, *, authenticated: bool) -> Who:
    rules = principal.permissions
    return Who(
        name=principal.name,
        authenticated=authenticated,
        everything=rules is None,
        permissions={name: list(patterns) for name, patterns in rules.patterns().items()} if rules else {},
        services=None if principal.services is None else sorted(principal.services),
        csrf=session.csrf if session else "",
        expires=int(session.until * _MS) if session else 0,
    )


def _set_cookie(answer: Response, asked: Asked[Nothing, SignIn], session: Session) -> None:
    browsers = asked.request.state.entrance.browsers
    answer.set_cookie(
        browsers.cookie,
        session.name,
        max_age=int(session.until - time.time()),
        path="/",
        secure=browsers.secure,
        httponly=True,
        samesite="strict",
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/session",
        summary="Sign a browser in with a token",
        handler=sign_in,
        body=SignIn,
        answer=Who,
        most_bytes=_MOST_BYTES,
    ),
    Operation(method="GET", path="/v1/session", summary="Say who one is, and what one may do", handler=who, answer=Who),
    Operation(method="DELETE", path="/v1/session", summary="Sign out", handler=sign_out, status=HTTPStatus.NO_CONTENT),
)
