"""The only wiring: settings in, a running gateway out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from urllib.parse import quote

from tieline.event_store import Retention
from tieline.event_stores import event_store
from tieline.events import EventSystem
from tieline.history_host import Recording, read_retention
from tieline.settings import Settings
from tieline.transports import make_transport
from tieline_gateway.access.watch import Watch
from tieline_gateway.access.wiring import make_admission
from tieline_gateway.gateway import Gateway
from tieline_gateway.grpc_server import GrpcServer
from tieline_gateway.http.app import make_app
from tieline_gateway.http.browsers import Browsers
from tieline_gateway.http.server import HttpServer
from tieline_gateway.passwords import without_password
from tieline_gateway.service_manager import READY, STOPPING, tell_service_manager
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.settings_error import SettingsError
from tieline_gateway.tls import Tls
from tieline_gateway.webhooks.webhooks import Webhooks

_log = logging.getLogger("tieline.gateway")
_EMBEDDED = "memory://"
_DAY_SECONDS = 86_400
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
    settings.check()
    tls, watch = _tls(settings), Watch(make_admission(settings))
    quiet = Settings(system_events=False)  # its Links say what is to be said
    transport = make_transport(_broker_url(settings), settings.namespace, quiet, served=True)
    events = EventSystem(service="gateway", settings=quiet, transport=transport)
    await events.start()
    gateway = Gateway(transport, events, embedded=settings.embedded)
    server = GrpcServer(gateway, tls, watch, reflect=settings.listen.is_loopback)
    http: HttpServer | None = None
    try:
        await _record(settings, events)
        gateway.webhooks = Webhooks(gateway, settings.tables.webhooks, settings.tables.deliveries)
        await gateway.webhooks.start()
        http = (
            HttpServer(make_app(gateway, watch, _browsers(settings)), tls, gateway.stopping) if settings.http else None
        )
        port = await server.start(*settings.listen)
        web = await http.start(settings.http) if http and settings.http else None
        stop, watching = _stop_signal(), [asyncio.create_task(watch.run())]
        if tls:
            watching.append(asyncio.create_task(tls.watch()))
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


async def _record(settings: GatewaySettings, events: EventSystem) -> None:
    if settings.history:
        store = event_store(settings.history_url)
        await Recording(events._instance, store, settings.history_topics, _retention(settings)).start()


async def _drain(settings: GatewaySettings, gateway: Gateway, server: GrpcServer, http: HttpServer | None) -> None:
    """Say that it is about to stop, go on for a moment, then take nothing new and let the rest finish."""
    tell_service_manager(STOPPING)
    _log.info("stopping; calls under way have %s s", settings.drain)
    await server.say_health(serving=False)
    await gateway.say_farewell(settings.farewell)
    ends = [server.stop(settings.drain + _LAST_SECONDS), gateway.webhooks.stop(settings.drain)]
    if http:
        ends.append(http.stop(settings.drain))
    stopping = [asyncio.create_task(end) for end in ends]
    await gateway.drain(settings.drain)
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


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _broker_url(settings: GatewaySettings) -> str:
    url = settings.url or _EMBEDDED
    if settings.store is not None:
        return f"{_EMBEDDED}{quote(str(settings.store.absolute()))}"
    if url.startswith("grpc"):
        raise SettingsError("a gateway stands in front of Redis or is embedded; it cannot stand in front of a gateway")
    return url


def _announcement(settings: GatewaySettings, port: int) -> str:
    """One line for people, and for programs that wait for it."""
    address = settings.listen._replace(port=port)
    broker = "embedded" if settings.embedded else f"Redis at {without_password(settings.url)}"
    protection = "TLS" if settings.tls_cert else "no TLS"
    history = f", history in {without_password(settings.history_url)}" if settings.history else ""
    return f"tieline: serving gRPC on {address} ({broker}, {protection}{history})"


def _retention(settings: GatewaySettings) -> Retention:
    days = settings.history_days
    seconds = None if days is None else days * _DAY_SECONDS
    return read_retention(seconds, settings.history_max_events, settings.history_max_bytes)


def _tls(settings: GatewaySettings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _browsers(settings: GatewaySettings) -> Browsers:
    assert settings.http is not None
    hosts = frozenset(name.lower() for name in settings.http_hosts)
    return Browsers(settings.http, settings.tls_cert is not None, hosts)
