"""Whether the ports of a gateway are free, or who is there."""

from __future__ import annotations

import asyncio
from importlib import metadata

import httpx

from tieline.errors import TielineError, UnauthenticatedError
from tieline.events import EventSystem
from tieline.settings import Settings
from tieline_gateway.address import Address
from tieline_gateway.diagnosis.finding import Finding, error, fine, warning

_SECONDS = 3.0
_READY, _NOT_READY = 200, 503


async def check_grpc_port(address: Address) -> Finding:
    """Who is at the address for gRPC."""
    check = "gRPC port"
    if not await _somebody(address):
        return fine(check, f"{address} is free; no gateway is there")
    quiet = Settings(system_events=False, connect_timeout=_SECONDS)
    events = EventSystem(f"grpc://{address}", service="doctor", settings=quiet)
    try:
        await events.start()
    except UnauthenticatedError:
        return fine(check, f"a gateway is at {address}, and wants a token")
    except TielineError as failure:
        return warning(
            check,
            f"somebody else is at {address}, or a gateway with TLS: {failure.message}",
            "tieline up cannot listen there: give it another --listen, or end what is there",
        )
    finally:
        await events.aclose(0.0)
    return fine(check, f"a gateway is at {address}, and takes clients")


async def check_http_port(address: Address) -> Finding:
    """Who is at the address for HTTP."""
    check = "HTTP port"
    if not await _somebody(address):
        return fine(check, f"{address} is free; no gateway is there")
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
            answer = await client.get(f"http://{address}/readyz")
            version = await _version(client, address)
    except httpx.HTTPError:
        return _stranger(check, address)
    if answer.status_code == _READY and answer.text == "ready":
        if version not in ("", ours := metadata.version("tieline-gateway")):
            advice = "clients and gateways of different versions understand each other; still, update the older one"
            return warning(check, f"the gateway at {address} is {version}, and this is {ours}", advice)
        return fine(check, f"a gateway is at {address}, and is ready")
    if answer.status_code == _NOT_READY and answer.text.startswith("not ready"):
        advice = "its broker is away, or it is about to stop: look at the broker, then at its log"
        return error(check, f"a gateway is at {address}, and is {answer.text}", advice)
    return _stranger(check, address)


async def _version(client: httpx.AsyncClient, address: Address) -> str:
    """Which version a gateway is; empty if it does not say, or not to everybody."""
    try:
        told = (await client.get(f"http://{address}/v1/overview")).json()
        return str(told["gateway"]["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""


def _stranger(check: str, address: Address) -> Finding:
    advice = "tieline up cannot listen there: give it another --http, or end what is there"
    return warning(check, f"somebody else is at {address}, or a gateway with TLS", advice)


async def _somebody(address: Address) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(*address)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
