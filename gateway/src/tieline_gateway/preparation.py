"""What `tieline up` makes of its settings before it connects to anything; `tieline config show` goes as far."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from tieline.errors import InvalidArgumentError
from tieline.history.host import read_retention
from tieline.history.store import Retention
from tieline.history.stores import event_store
from tieline.settings import Settings
from tieline.transports import make_transport
from tieline_gateway.access.admission import Admission
from tieline_gateway.access.wiring import make_admission
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.settings_error import SettingsError
from tieline_gateway.tls import Tls
from tieline_gateway.webhooks.sources import make_sources

_EMBEDDED = "memory://"
_DAY_SECONDS = 86_400


class Prepared(NamedTuple):
    """Files that were read, and addresses that make sense.

    Attributes:
        broker_url: where the broker is, or that it is embedded and where its files are.
        admission: who is let in.
        tls: certificate and key; None for none.
        retention: of history.

    """

    broker_url: str
    admission: Admission
    tls: Tls | None
    retention: Retention


def prepare(settings: GatewaySettings) -> Prepared:
    """Read all files that are named, and check all that can be checked before anything is connected or written.

    Raises:
        SettingsError: the settings cannot be meant, a URL cannot be read, or a file cannot be used.
        UnsupportedError: what the store of history needs is not installed.

    """
    settings.check()
    broker_url = _broker_url(settings)
    _check_urls(settings)
    make_sources(settings.tables.webhooks)
    for name, table in settings.tables.deliveries.items():
        table.secrets(name)
    return Prepared(broker_url, make_admission(settings), _tls(settings), _retention(settings))


def _check_urls(settings: GatewaySettings) -> None:
    try:
        if not settings.embedded:
            make_transport(settings.url, settings.namespace, Settings())
        if settings.history:
            event_store(settings.history_url)
    except InvalidArgumentError as error:
        raise SettingsError(error.message) from None


def _broker_url(settings: GatewaySettings) -> str:
    url = settings.url or _EMBEDDED
    if settings.store is not None:
        return f"{_EMBEDDED}{quote(str(settings.store.absolute()))}"
    if url.startswith("grpc"):
        raise SettingsError("a gateway stands in front of Redis or is embedded; it cannot stand in front of a gateway")
    return url


def _tls(settings: GatewaySettings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _retention(settings: GatewaySettings) -> Retention:
    days = settings.history_days
    seconds = None if days is None else days * _DAY_SECONDS
    return read_retention(seconds, settings.history_max_events, settings.history_max_bytes)
