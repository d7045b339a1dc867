"""Everybody a gateway knows by name: from its configuration, and from the file of tokens, which may change."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from tieline_gateway.access.limits import Meter
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.rereading import Watched
from tieline_gateway.access.rules import PrincipalConfig, Rules, RulesError, check_rules, principal
from tieline_gateway.access.token_file import TokenFile, read_tokens, token_sum

_log = logging.getLogger("tieline.gateway")
_MS = 1000
_MOST_REVOKED = 10_000


class _Held(NamedTuple):
    name: str
    expires: float
    id: str = ""

    def __str__(self) -> str:
        return f"the token {self.id} of {self.name!r:.80}" if self.id else f"a token of {self.name!r:.80}"


class Roster:
    """Principals by name, by token, and by the names in certificates.

    Args:
        configured: tables of the configuration.
        tokens: the file of tokens, which is read again when it changes; None for none.

    Raises:
        RulesError: they cannot be meant, alone or together.

    """

    def __init__(self, configured: Mapping[str, PrincipalConfig], tokens: Path | None = None) -> None:
        for name, rules in configured.items():
            check_rules(name, rules)
        self.version = 0
        """One more each time the file was read again."""
        self._configured = configured
        self._file = Watched(tokens) if tokens else None
        self._principals: dict[str, Principal] = {}
        self._tokens: dict[str, _Held] = {}
        self._revoked: dict[str, _Held] = {}
        self._meters = WeakValueDictionary[str, Meter]()  # as long as a principal has them: others come with each token
        self._certificates = _owners(configured)
        self._take(read_tokens(tokens) if tokens else TokenFile())

    @property
    def empty(self) -> bool:
        """Whether nobody can be known by a token or a certificate."""
        return not (self._tokens or self._certificates or self._file)

    @property
    def has_certificates(self) -> bool:
        """Whether somebody is known by a certificate."""
        return bool(self._certificates)

    def named(self, name: str) -> Principal | None:
        """The principal of this name."""
        self._look()
        return self._principals.get(name)

    def holder(self, token: str) -> Principal | None:
        """Whose token this is, if it is one and has not ended.

        It is looked up by its SHA-256 sum, so that the time this takes tells nothing about other tokens.
        """
        self._look()
        held = self._tokens.get(token_sum(token))
        if held is None or (held.expires and held.expires <= time.time()):
            return None
        return self._principals[held.name]

    def hindrance(self, token: str) -> str:
        """Why a token is nobody's (any more): it ended, was revoked while we run, or was never made here."""
        digest = token_sum(token)
        if held := self._tokens.get(digest):
            return f"{held} expired at {_spoken(held.expires)}"
        if held := self._revoked.get(digest):
            return f"{held} was revoked"
        return "the token is unknown: revoked long ago, or of another gateway"

    def owner(self, names: tuple[str, ...]) -> Principal | None:
        """Whose certificate has one of these names."""
        self._look()
        found = next((self._certificates[name] for name in names if name in self._certificates), None)
        return self._principals[found] if found else None

    def meter(self, name: str, rules: Rules) -> Meter:
        """What a principal of this name uses: the same for all its credentials, as long as its limits are the same."""
        known = self._meters.get(name)
        if known is None or known.limits != rules.limits:
            known = self._meters[name] = Meter(rules.limits)
        return known

    def _look(self) -> None:
        if self._file is None or not self._file.changed():
            return
        path = self._file.paths[0]
        try:
            self._take(read_tokens(path))
        except RulesError as error:
            _log.error("the tokens of before go on to be valid: %s", error)
        else:
            _log.info("read the tokens in %s again: %d are valid", path, len(self._tokens))

    def _take(self, told: TokenFile) -> None:
        rules: dict[str, Rules] = dict(self._configured)
        tokens = {each: _Held(name, 0) for name, known in self._configured.items() for each in known.tokens_sha256}
        for name, holder in told.principals.items():
            if holder.rules is not None and name in self._configured:
                raise RulesError(f"principal {name!r} has rules in the configuration and in the file of tokens")
            rules.setdefault(name, holder.rules or Rules())
            tokens |= {each.sha256: _Held(name, each.expires / _MS, each.id) for each in holder.tokens}
        self._principals = {name: principal(name, each, self.meter(name, each)) for name, each in rules.items()}
        revoked = self._revoked | {digest: held for digest, held in self._tokens.items() if digest not in tokens}
        self._revoked = dict(list(revoked.items())[-_MOST_REVOKED:])
        self._tokens = tokens
        self.version += 1


def _spoken(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owners(configured: Mapping[str, PrincipalConfig]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for name, rules in configured.items():
        for certificate in rules.certificates:
            owner = owners.setdefault(certificate, name)
            if owner != name:
                raise RulesError(f"the certificate {certificate!r} cannot belong to {owner!r} and to {name!r}")
    return owners
