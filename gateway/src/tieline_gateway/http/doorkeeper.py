"""Who asks over HTTP: put into the request's state for those who serve it, or turned away."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tieline.errors import TielineError
from tieline_gateway.access.admission import Credentials, bearer
from tieline_gateway.access.watch import Watch
from tieline_gateway.http.problems import refusal


class Doorkeeper:
    """ASGI middleware: admits, or answers why not."""

    def __init__(self, app: ASGIApp, watch: Watch, open_paths: frozenset[str]) -> None:
        self._app = app
        self._watch = watch
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                scope.setdefault("state", {})["principal"] = self._watch.admit(_credentials(scope))
            except TielineError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _credentials(scope: Scope) -> Credentials:
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return Credentials(bearer(authorization))
