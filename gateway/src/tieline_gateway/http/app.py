"""All that is served over HTTP, put together."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from tieline.errors import InvalidArgumentError, NotFoundError
from tieline_gateway.access.watch import Watch
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.api import OPERATIONS
from tieline_gateway.http.browsers import Browsers
from tieline_gateway.http.dashboard import dashboard
from tieline_gateway.http.doorkeeper import Doorkeeper
from tieline_gateway.http.encoded_slashes import EncodedSlashes
from tieline_gateway.http.openapi import openapi
from tieline_gateway.http.probes import probes
from tieline_gateway.http.problems import HttpError, refusal
from tieline_gateway.http.serving import JSON, endpoint


def make_app(gateway: Gateway, watch: Watch, browsers: Browsers) -> Starlette:
    """Put the HTTP face of a gateway together."""
    api = [Route(each.path, endpoint(each, gateway), methods=[each.method]) for each in OPERATIONS]
    app = _Face(
        routes=[
            *gateway.webhooks.routes(),  # first: they come the most often, and each route costs those behind it
            *api,
            Route("/openapi.json", _Document().answer),
            *probes(gateway),
            *dashboard(),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    app.around = lambda inner: EncodedSlashes(Doorkeeper(inner, watch, browsers))
    return app


class _Face(Starlette):
    """Starlette without its outermost layer, which costs every request: the doorkeeper tells what nobody else does."""

    around: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        """See `Starlette`."""
        return self.around(ExceptionMiddleware(self.router, self.exception_handlers))


class _Document:
    """Answers with the OpenAPI document, which is made when somebody asks for the first time."""

    def __init__(self) -> None:
        self._made = b""

    async def answer(self, _request: Request) -> Response:
        self._made = self._made or msgspec.json.encode(openapi(OPERATIONS))
        return Response(self._made, media_type=JSON)


async def _refused(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: a path that does not exist, a method that a path has not."""
    assert isinstance(error, HTTPException)
    path = request.scope["raw_path"].decode("latin-1")
    if error.status_code == HTTPStatus.NOT_FOUND:
        return refusal(NotFoundError(f"there is nothing at {path!r:.200}"))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return refusal(_other_method(request, path))
    told = InvalidArgumentError(f"{request.method} {path!r:.200}: {error.detail}")
    return refusal(HttpError(HTTPStatus(error.status_code), told, dict(error.headers or {})))


def _other_method(request: Request, path: str) -> HttpError:
    """What a path has instead of a method, of all its routes (RFC 9110, section 15.5.6)."""
    routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))
    told = InvalidArgumentError(f"{request.method} is not for {path!r:.200}, which has {methods}")
    return HttpError(HTTPStatus.METHOD_NOT_ALLOWED, told, {"allow": methods})
