"""Who asks over HTTP: put into the request's state for those who serve it, or turned away."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tieline.errors import TielineError
from tieline_gateway.access.admission import Admission, Credentials, bearer
from tieline_gateway.http.problems import refusal


class Doorkeeper:
    """ASGI middleware: admits, or answers why not."""

    def __init__(
        self, app: ASGIApp, admission: Admission, open_paths: frozenset[str], open_below: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._admission = admission
        self._open_paths = open_paths
        self._open_below = open_below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                scope.setdefault("state", {})["principal"] = self._admission.admit(_credentials(scope))
            except TielineError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths or path.startswith(self._open_below)


def _credentials(scope: Scope) -> Credentials:
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return Credentials(bearer(authorization))
