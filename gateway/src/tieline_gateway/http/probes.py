"""What those ask who run it: is it alive, does it take work, how is it?"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tieline.prometheus import CONTENT_TYPE
from tieline_gateway.access.principal import Action
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.problems import refusal
from tieline_gateway.http.serving import principal_of

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""Anybody may ask these; they tell nothing but yes or no, and what is documented anyway."""


def probes(gateway: Gateway) -> Sequence[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(_request: Request) -> Response:
        if gateway.ready:
            return PlainTextResponse("ready")
        why = "about to stop" if gateway.draining else "the broker is away"
        return PlainTextResponse(f"not ready: {why}", HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(request: Request) -> Response:
        try:
            principal_of(request).check(Action.ADMIN, ">")
            text = await gateway.events.prometheus(groups=True, schedules=True) + gateway.webhooks.exposition()
        except Exception as error:
            return refusal(error)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    return Route("/healthz", health), Route("/readyz", ready), Route("/metrics", metrics)
