"""The only wiring: settings in, a running gateway out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from tieline.events import EventSystem
from tieline.history.host import Recording
from tieline.history.store import Retention
from tieline.history.stores import event_store
from tieline.settings import Settings
from tieline.signals import stop_signals
from tieline.transports import make_transport
from tieline_gateway.access.watch import Watch
from tieline_gateway.gateway import Gateway
from tieline_gateway.grpc_server import GrpcServer
from tieline_gateway.http.app import make_app
from tieline_gateway.http.browsers import Browsers
from tieline_gateway.http.server import HttpServer
from tieline_gateway.passwords import without_password
from tieline_gateway.preparation import prepare
from tieline_gateway.service_manager import READY, STOPPING, tell_service_manager
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.webhooks.webhooks import Webhooks

_log = logging.getLogger("tieline.gateway")
_HEALTH_SECONDS = 0.5
_LAST_SECONDS = 0.2


async def run(settings: GatewaySettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: checked here.
        announce: told once, in one line, what is served where.

    Raises:
        SettingsError: the settings cannot be meant.
        AddressError: the address cannot be listened on.
        TielineError: the broker cannot be reached or used.

    """
    broker_url, admission, tls, retention = prepare(settings)
    watch = Watch(admission)
    quiet = Settings(system_events=False)  # its Links say what is to be said
    transport = make_transport(broker_url, settings.namespace, quiet, served=True)
    events = EventSystem(service="gateway", settings=quiet, transport=transport)
    await events.start()
    gateway = Gateway(transport, events, embedded=settings.embedded)
    server = GrpcServer(gateway, tls, watch, reflect=settings.listen.is_loopback)
    http: HttpServer | None = None
    try:
        await _record(settings, events, retention)
        gateway.webhooks = Webhooks(gateway, settings.tables.webhooks, settings.tables.deliveries)
        await gateway.webhooks.start()
        http = (
            HttpServer(make_app(gateway, watch, _browsers(settings)), tls, gateway.stopping) if settings.http else None
        )
        port = await server.start(*settings.listen)
        web = await http.start(settings.http) if http and settings.http else None
        watching = [asyncio.create_task(watch.run())]
        if tls:
            watching.append(asyncio.create_task(tls.watch()))
        stop = asyncio.Event()
        with stop_signals(stop.set):  # before anybody is told that it serves
            announce(_announcement(settings, port))
            if web:
                gateway.spawn(gateway.overview.sample(gateway.stopping))
                announce(f"tieline: serving HTTP on {'https' if tls else 'http'}://{web}")
            tell_service_manager(READY)
            await _until(stop, gateway, server)
            for task in watching:
                task.cancel()
            await _drain(settings, gateway, server, http)
    finally:  # all is closed, also where only a part of it could begin
        await server.stop(0)
        if http:
            await http.stop(0)
        await gateway.aclose()


async def _record(settings: GatewaySettings, events: EventSystem, retention: Retention) -> None:
    if settings.history:
        store = event_store(settings.history_url)
        await Recording(events._instance, store, settings.history_topics, retention).start()


async def _drain(settings: GatewaySettings, gateway: Gateway, server: GrpcServer, http: HttpServer | None) -> None:
    """Say that it is about to stop, go on for a moment, then take nothing new and let the rest finish."""
    tell_service_manager(STOPPING)
    _log.info("stopping; calls under way have %s s", settings.drain)
    await server.say_health(serving=False)
    end = time.monotonic() + settings.farewell + settings.drain
    await gateway.say_farewell(settings.farewell, settings.drain / 2)
    drain = max(0.0, min(settings.drain, end - time.monotonic()))
    ends = [server.stop(drain + _LAST_SECONDS), gateway.webhooks.stop(drain)]
    if http:
        ends.append(http.stop(drain))
    stopping = [asyncio.create_task(end) for end in ends]
    await gateway.drain(drain)
    await server.stop(_LAST_SECONDS)  # for those who watch the health service, and would for ever
    await asyncio.gather(*stopping)


async def _until(stop: asyncio.Event, gateway: Gateway, server: GrpcServer) -> None:
    """Wait for the signal, and meanwhile keep the health service true."""
    serving = True
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEALTH_SECONDS):
                await stop.wait()
        if gateway.ready != serving:
            serving = gateway.ready
            await server.say_health(serving=serving)


def _announcement(settings: GatewaySettings, port: int) -> str:
    """One line for people, and for programs that wait for it."""
    address = settings.listen._replace(port=port)
    broker = "embedded" if settings.embedded else f"Redis at {without_password(settings.url)}"
    protection = "TLS" if settings.tls_cert else "no TLS"
    history = f", history in {without_password(settings.history_url)}" if settings.history else ""
    return f"tieline: serving gRPC on {address} ({broker}, {protection}{history})"


def _browsers(settings: GatewaySettings) -> Browsers:
    assert settings.http is not None
    hosts = frozenset(name.lower() for name in settings.http_hosts)
    return Browsers(settings.http, settings.tls_cert is not None, hosts)
