"""Who asks over HTTP: put into the request's state for those who serve it, or turned away.

Whoever shows a token or a certificate is who it says. A browser that is signed in shows a cookie instead; then what
changes something must come with the session's CSRF token, which pages of others cannot know.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tieline.errors import PermissionDeniedError, UnauthenticatedError
from tieline_gateway.access.admission import Credentials, bearer
from tieline_gateway.access.permissions import Permissions
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.sessions import Failures, Session, Sessions
from tieline_gateway.access.watch import Watch
from tieline_gateway.http.browsers import Browsers
from tieline_gateway.http.dashboard import PREFIX
from tieline_gateway.http.event_stream import MEDIA_TYPE, frame
from tieline_gateway.http.probes import OPEN_PATHS
from tieline_gateway.http.problems import problem_of, refusal
from tieline_gateway.http.serving import peer_of
from tieline_gateway.webhooks.ingress import PATH

_SIGN_IN = ("POST", "/v1/session")
_SAFE = ("GET", "HEAD", "OPTIONS")
_NOBODY = Principal(name="nobody", permissions=Permissions({}))
_OPEN_PATHS = OPEN_PATHS | {"/", PREFIX.rstrip("/")}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Entrance:
    """What the doorkeeper knows; those who sign people in and out need it too.

    Args:
        watch: says who somebody is.
        browsers: says what they may send.

    """

    def __init__(self, watch: Watch, browsers: Browsers) -> None:
        self.watch = watch
        self.browsers = browsers
        self.sessions = Sessions()
        self.failures = Failures()


class Doorkeeper:
    """ASGI middleware: admits, or answers why not."""

    def __init__(self, app: ASGIApp, watch: Watch, browsers: Browsers) -> None:
        self._app = app
        self._entrance = Entrance(watch, browsers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._let_in(scope, receive, answer)
        except Exception as error:
            await answer.fail(error, scope, receive)

    async def _let_in(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        path, state = scope["path"], scope.setdefault("state", {})
        if path in OPEN_PATHS or path.startswith(PATH):
            await self._app(scope, receive, answer)
            return
        headers = dict(scope["headers"])
        self._entrance.browsers.check(scope["method"], headers)
        state["entrance"] = self._entrance
        if path in _OPEN_PATHS or path.startswith(PREFIX) or (scope["method"], path) == _SIGN_IN:
            state["principal"] = _NOBODY
            await self._app(scope, receive, answer)
            return
        credentials, state["session"] = self._credentials(scope["method"], headers, state)
        watch = self._entrance.watch
        if watch.open:
            state["principal"] = watch.admit(credentials, peer_of(scope))
            await self._app(scope, receive, answer)
            return
        async with watch.visit(credentials, peer_of(scope)) as visit:
            state["principal"] = answer.principal = visit.principal
            await self._app(scope, receive, answer)

    def _credentials(
        self, method: str, headers: Mapping[bytes, bytes], state: Mapping[str, Any]
    ) -> tuple[Credentials, Session | None]:
        shown = Credentials(bearer(headers.get(b"authorization", b"")), *state.get("certificate", ()))
        cookie = headers.get(b"cookie", b"")
        if shown.bearer or not cookie:
            return shown, None
        name = cookie_parser(cookie.decode("latin-1")).get(self._entrance.browsers.cookie)
        session = self._entrance.sessions.find(name) if name else None
        if session is None:
            return shown, None
        if method not in _SAFE and not hmac.compare_digest(headers.get(b"x-csrf-token", b""), session.csrf.encode()):
            raise PermissionDeniedError("what changes something needs the session's csrf token: x-csrf-token")
        return session.credentials, session


class _Answer:
    """The answer to one request: headers are added, streams are counted, and its end is told if it is cut."""

    def __init__(self, send: Send) -> None:
        self.principal: Principal | None = None
        self._send = send
        self._streams = False
        self._begun = False
        self._counted: Any = None

    async def __call__(self, message: Message) -> None:
        """See ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._begin(message)
        await self._send(message)
        if self._counted is not None and message["type"] == "http.response.body" and not message.get("more_body"):
            self._end()

    async def fail(self, error: Exception, scope: Scope, receive: Receive) -> None:
        """Tell what went wrong, as far as that can still be told."""
        self._end()
        if not self._begun:
            await refusal(error)(scope, receive, self)
        elif self._streams and isinstance(error, UnauthenticatedError):
            await self._send({"type": "http.response.body", "body": frame("error", problem_of(error))})
        else:
            raise error

    def _begin(self, message: Message) -> None:
        headers = message["headers"] = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        self._streams = (b"content-type", MEDIA_TYPE.encode()) in headers or any(
            name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in headers
        )
        if self._streams and self.principal is not None:
            counted = self.principal.meter.stream()
            counted.__enter__()
            self._counted = counted
        self._begun = True
        headers += [each for each in _HEADERS if each[0] not in names]

    def _end(self) -> None:
        counted, self._counted = self._counted, None
        if counted is not None:
            counted.__exit__(None, None, None)
