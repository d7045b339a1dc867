"""Where events are to be sent: `[deliveries.NAME]` of the configuration file."""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from tieline import topics
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import TielineError
from tieline_gateway.settings_error import SettingsError
from tieline_gateway.webhooks.guard import Guard, Network
from tieline_gateway.webhooks.secrets import Secrets, secret_files
from tieline_gateway.webhooks.standard import read_secret

_is_name = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}").fullmatch
_MOST_CONCURRENCY, _MOST_SECONDS = 1_000, 300.0


class RetryTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """When what was not taken is sent again: see `tieline.RetryPolicy`. Times are in seconds.

    Unless told otherwise twelve tries, over up to three hours.
    """

    max_attempts: int = 12
    backoff: float = 5.0
    cap: float = 3_600.0
    jitter: bool = True


class DeliveryTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Durable events of a topic are sent to a URL, signed by Standard Webhooks.

    Attributes:
        topic: of the events; no pattern.
        url: https://…; http:// only where private addresses are allowed.
        secret_file: file or files with secrets, one a line; while there are several, all sign.
        group: durable subscription group that keeps what is still to be sent; delivery.NAME unless given.
        body: "event": type, time, key and ids around the payload, all signed; "payload": it alone, the rest in headers.
        concurrency: sent at once.
        timeout: seconds for one try.
        retry: when it is sent again.
        on_poison: what becomes of an event that failed for the last time: "dead_letter", "park" (its key), "skip".
        start: a new group begins with the "earliest" stored event, or after the "latest".
        allow_private: private addresses and this machine may be sent to.
        allow: networks that may be sent to, as in "10.1.0.0/16".
        ca_file: PEM file of the authorities to trust instead of the system's.

    """

    topic: str
    url: str
    secret_file: str | list[str]
    group: str = ""
    body: Literal["event", "payload"] = "event"
    concurrency: int = 10
    timeout: float = 10.0
    retry: RetryTable = msgspec.field(default_factory=RetryTable)
    on_poison: Literal["dead_letter", "park", "skip"] = "dead_letter"
    start: Literal["earliest", "latest"] = "earliest"
    allow_private: bool = False
    allow: list[str] = []
    ca_file: str = ""

    @property
    def files(self) -> list[Path]:
        """Where its secrets are."""
        return secret_files(self.secret_file)

    def placed(self, folder: Path) -> DeliveryTable:
        """The same, where the names of files are told from this folder."""
        files = [str(folder / file) for file in self.files]
        return msgspec.structs.replace(
            self, secret_file=files, ca_file=str(folder / self.ca_file) if self.ca_file else ""
        )

    @property
    def origin(self) -> str:
        """The URL as it may be shown: paths and queries may be secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def group_of(self, name: str) -> str:
        """The subscription group."""
        return self.group or f"delivery.{name}"

    def policy(self) -> RetryPolicy:
        """When it is sent again.

        Raises:
            InvalidArgumentError: a value is outside of what is allowed.

        """
        retry = self.retry
        return RetryPolicy(retry.max_attempts, retry.backoff, max(retry.cap, retry.backoff), retry.jitter)

    def guard(self) -> Guard:
        """Which addresses may be sent to.

        Raises:
            ValueError: `allow` has something that is no network.

        """
        allowed: list[Network] = [ipaddress.ip_network(text) for text in self.allow]
        return Guard(private=self.allow_private, allowed=allowed)

    def tls(self) -> ssl.SSLContext:
        """Whom to trust.

        Raises:
            OSError: the file cannot be read, or is no PEM file.

        """
        return ssl.create_default_context(cafile=self.ca_file or None)

    def secrets(self, name: str) -> Secrets:
        """What signs.

        Raises:
            SettingsError: a file cannot be read, or has no secret, or a bad one.

        """
        try:
            return Secrets(self.files, read_secret)
        except SettingsError as error:
            raise SettingsError(f"deliveries.{name}: {error}") from None

    def check(self, name: str) -> None:
        """Refuse what cannot be meant.

        Raises:
            SettingsError: the name or a value cannot be one; the message says which.

        """
        try:
            if not _is_name(name):
                raise ValueError("the name is 1 to 63 of a-z 0-9 _ and -; it begins with a-z or 0-9")
            topics.check_topic(self.topic)
            topics.check_group(self.group_of(name))
            self.policy()
            if not self.files:
                raise ValueError("secret_file is missing: nobody could tell who sends")
            self._check_numbers()
            self._check_url()
            self.tls()
        except TielineError as error:
            raise SettingsError(f"deliveries.{name:.80}: {error.message}") from None
        except OSError as error:
            raise SettingsError(f"deliveries.{name}: cannot use {self.ca_file}: {error.strerror}") from None
        except ValueError as error:
            raise SettingsError(f"deliveries.{name:.80}: {error}") from None

    def _check_numbers(self) -> None:
        if not 1 <= self.concurrency <= _MOST_CONCURRENCY:
            raise ValueError(f"concurrency is from 1 to {_MOST_CONCURRENCY}, not {self.concurrency}")
        if not 0 < self.timeout <= _MOST_SECONDS:
            raise ValueError(f"timeout is in seconds, up to {_MOST_SECONDS:g}, not {self.timeout:g}")

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - it raises if it is none
        if parts.scheme not in ("http", "https") or not host or parts.username is not None or not self.url.isascii():
            raise ValueError("url is https://host/path, in ASCII, without user and password")
        if parts.scheme == "http" and not self.allow_private:
            raise ValueError("url begins with https://; http:// needs allow_private, as others could read along")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return  # a name, which is looked up when something is sent
        finally:
            guard = self.guard()
        if hindrance := guard.hindrance(address):
            raise ValueError(f"url may not be sent to: {hindrance}")
