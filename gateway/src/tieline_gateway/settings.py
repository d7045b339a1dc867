"""What can be set for a gateway, and what may not be set together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tieline._contract.contract import DEFAULT_DRAIN_MS, DEFAULT_FAREWELL_MS
from tieline.errors import TielineError
from tieline.topics import check_pattern
from tieline_gateway.address import Address
from tieline_gateway.config import ConfigTables
from tieline_gateway.settings_error import SettingsError

DEFAULT_LISTEN = "127.0.0.1:50051"
DEFAULT_HTTP = "127.0.0.1:8080"
NO_HTTP = "none"
"""HTTP is not served."""
LOG_FORMATS = ("text", "json")
HISTORY_HERE = "sqlite"
"""History without an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """One gateway. No URL means embedded: the broker is in the gateway's own process."""

    listen: Address
    http: Address | None = None
    url: str = ""
    namespace: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    token_file: Path | None = None
    tokens: Path | None = None
    http_hosts: tuple[str, ...] = ()
    store: Path | None = None
    history: str = ""
    history_topics: tuple[str, ...] = ()
    history_days: float | None = None
    history_max_events: int = 0
    history_max_bytes: int = 0
    insecure: bool = False
    drain: float = DEFAULT_DRAIN_MS / 1000
    farewell: float = DEFAULT_FAREWELL_MS / 1000
    log_format: str = LOG_FORMATS[0]
    verbose: bool = False
    tables: ConfigTables = field(default_factory=ConfigTables)

    @property
    def embedded(self) -> bool:
        """Whether the broker is in this process."""
        return not self.url or self.url.startswith("memory:")

    @property
    def history_url(self) -> str:
        """Where history is kept; empty for nowhere. Unless said it is a SQLite file beside the store, or here."""
        if self.history != HISTORY_HERE:
            return self.history
        path = Path("tieline") if self.store is None else self.store
        return f"sqlite://{quote(str(path.with_name(f'{path.name}-history').absolute()))}"

    @property
    def protected(self) -> bool:
        """Whether it uses TLS and knows who calls."""
        return self.tls_cert is not None and self.authenticated

    @property
    def authenticated(self) -> bool:
        """Whether it knows who calls."""
        named = any(each.tokens_sha256 or each.certificates for each in self.tables.principals.values())
        files = (self.token_file, self.tokens, self.tls_client_ca, self.tables.jwt)
        return named or any(each is not None for each in files)

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            SettingsError: files of TLS without their counterparts, or an address that is open to others.

        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key go together")
        if self.store is not None and not self.embedded:
            raise SettingsError("--store is for the embedded broker; in front of Redis, results are kept there")
        options = (self.history_topics, self.history_days, self.history_max_events, self.history_max_bytes)
        if not self.history and any(options):
            raise SettingsError("--history-topic, --history-days and --history-max-… go with --history")
        for pattern in self.history_topics:
            try:
                check_pattern(pattern)
            except TielineError as error:
                raise SettingsError(f"--history-topic: {error.message}") from None
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise SettingsError("--tls-client-ca needs --tls-cert and --tls-key")
        for name, webhook in self.tables.webhooks.items():
            webhook.check(name)
        for name, delivery in self.tables.deliveries.items():
            delivery.check(name)
        for address in (self.listen, self.http):
            self._check_protection(address)

    def _check_protection(self, address: Address | None) -> None:
        if not (address is None or address.is_loopback or self.protected or self.insecure):
            raise SettingsError(
                f"{address} can be reached from elsewhere, so it needs TLS (--tls-cert, --tls-key) and "
                "authentication (--tokens, --token-file or --tls-client-ca); --insecure serves everyone without"
            )
