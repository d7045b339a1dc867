"""From whom webhooks are taken: what is configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tieline import topics
from tieline._contract.contract import LIMIT_KEY_BYTES, LIMIT_PAYLOAD_BYTES
from tieline.errors import TielineError
from tieline_gateway.settings_error import SettingsError
from tieline_gateway.webhooks.arrival import Kind
from tieline_gateway.webhooks.figures import SourceFigures
from tieline_gateway.webhooks.github import GitHub
from tieline_gateway.webhooks.secrets import Secrets, secret_files
from tieline_gateway.webhooks.standard import Standard

TOPIC = "webhook"
"""First token of the topics on which webhooks are published, by the gateway only."""

_GITHUB, _STANDARD = "github", "standard"
_is_name = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}").fullmatch
VARIABLE = re.compile(r"TIELINE_WEBHOOK_([A-Z0-9][A-Z0-9_]*?)_(SECRET_FILE|KIND)")
"""Names of variables of the environment that tell of a webhook."""


class WebhookTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`[webhooks.NAME]` of the configuration file.

    Attributes:
        kind: who sends: "github", or "standard" for Standard Webhooks; by the name unless given.
        secret_file: file or files with the secrets, one a line.
        events: patterns of the events that are kept; others are accepted and ignored. Empty: all are kept.
        key: path of the member of the body that is the ordering key, as in "repository.full_name"; none unless given.
        max_bytes: of a body.

    """

    kind: Literal["", "github", "standard"] = ""
    secret_file: str | list[str] = []
    events: list[str] = []
    key: str = ""
    max_bytes: int = LIMIT_PAYLOAD_BYTES

    @property
    def files(self) -> list[Path]:
        """Where its secrets are."""
        return secret_files(self.secret_file)

    def placed(self, folder: Path) -> WebhookTable:
        """The same, where the names of files are told from this folder."""
        return msgspec.structs.replace(self, secret_file=[str(folder / file) for file in self.files])

    def check(self, name: str) -> None:
        """Refuse what cannot be meant.

        Raises:
            SettingsError: the name or a value cannot be one; the message says which.

        """
        where = f"webhooks.{name:.80}"
        if not _is_name(name):
            raise SettingsError(
                f"{where}: the name of a webhook is 1 to 63 of a-z 0-9 _ and -; it begins with a-z or 0-9"
            )
        if not self.files:
            raise SettingsError(f"{where}: secret_file is missing: nobody could tell who sends")
        if not 1 <= self.max_bytes <= LIMIT_PAYLOAD_BYTES:
            raise SettingsError(f"{where}: max_bytes is from 1 to {LIMIT_PAYLOAD_BYTES}, the most an event can hold")
        for pattern in self.events:
            try:
                topics.check_pattern(pattern)
            except TielineError as error:
                raise SettingsError(f"{where}: events: {error.message}") from None


class Source:
    """One sender. Made of its table.

    Raises:
        SettingsError: its secrets cannot be read.

    """

    def __init__(self, name: str, table: WebhookTable) -> None:
        self.name = name
        self.kind_name = kind_of(name, table)
        self.kind: Kind = GitHub() if self.kind_name == _GITHUB else Standard(name)
        try:
            self.secrets = Secrets(table.files, self.kind.secret)
        except SettingsError as error:
            raise SettingsError(f"webhooks.{name}: {error}") from None
        self.events = table.events
        self.key = table.key
        self.max_bytes = table.max_bytes
        self.figures = SourceFigures()
        self._path = table.key.split(".") if table.key else []

    def wants(self, event: str) -> bool:
        """Whether an event is kept."""
        return not self.events or any(topics.matches(pattern, event) for pattern in self.events)

    def topic(self, event: str) -> str:
        """Where an event is published."""
        return f"{TOPIC}.{self.name}.{event}"

    def key_of(self, document: dict[str, Any]) -> str | None:
        """The ordering key of an event; None for none, also if what is there cannot be one."""
        if not self._path:
            return None
        found: Any = document
        for member in self._path:
            found = found.get(member) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType]
        text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
        return text if 0 < len(text.encode()) <= LIMIT_KEY_BYTES and text.isprintable() else None


def kind_of(name: str, table: WebhookTable) -> str:
    """Who sends, by the table, else by the name."""
    return table.kind or (_GITHUB if name == _GITHUB else _STANDARD)


def make_sources(tables: Mapping[str, WebhookTable]) -> dict[str, Source]:
    """All senders.

    Raises:
        SettingsError: secrets cannot be read.

    """
    return {name: Source(name, table) for name, table in tables.items()}


def with_flags_and_environment(
    tables: Mapping[str, WebhookTable], flags: tuple[str, ...], environment: Mapping[str, str]
) -> dict[str, WebhookTable]:
    """What the file says, with what the environment and then the flags say instead.

    Args:
        tables: of the file.
        flags: each `NAME[:KIND]=FILE`; of one name several files hold its secrets.
        environment: `TIELINE_WEBHOOK_<NAME>_SECRET_FILE` and `TIELINE_WEBHOOK_<NAME>_KIND` count.

    Raises:
        SettingsError: a flag cannot be read, or a kind is none.

    """
    found: dict[str, dict[str, Any]] = {}
    for variable, value in environment.items():
        if (named := VARIABLE.fullmatch(variable)) and value:
            found.setdefault(named[1].lower(), {})[named[2].lower()] = value
    flagged: dict[str, dict[str, Any]] = {}
    for flag in flags:
        who, equals, file = flag.partition("=")
        name, _, kind = who.partition(":")
        if not (name and equals and file):
            raise SettingsError(f"--webhook is NAME=FILE or NAME:KIND=FILE, not {flag!r:.200}")
        flagged.setdefault(name, {}).setdefault("secret_file", []).append(file)
        flagged[name].update({"kind": kind} if kind else {})
    for name, values in flagged.items():
        found.setdefault(name, {}).update(values)
    return {**tables, **{name: _changed(name, tables.get(name), values) for name, values in found.items()}}


def _changed(name: str, table: WebhookTable | None, values: dict[str, Any]) -> WebhookTable:
    known = msgspec.structs.asdict(table) if table is not None else {}
    if values.get("kind", "") not in ("", _GITHUB, _STANDARD):
        raise SettingsError(f"webhooks.{name}: kind is {_GITHUB!r} or {_STANDARD!r}, not {values['kind']!r:.80}")
    return WebhookTable(**{**known, **values})
