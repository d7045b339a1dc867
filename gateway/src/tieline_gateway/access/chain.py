"""Admission with several kinds of credentials at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tieline_gateway.access.admission import NOTHING_SHOWN, Credentials, NotAdmittedError
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.roster import Roster
from tieline_gateway.access.shared_token import SharedToken

_PARTS_OF_JWT = 3

if TYPE_CHECKING:
    from tieline_gateway.access.jwt import JsonWebTokens


class Chain:
    """Lets in who shows a token: the shared one, a named one or a JSON Web Token; or a certificate with a known name.

    A token that is shown has to be valid, whatever the certificate says.
    """

    def __init__(self, roster: Roster, shared: SharedToken | None = None, jwt: JsonWebTokens | None = None) -> None:
        self._roster = roster
        self._shared = shared
        self._jwt = jwt

    def admit(self, credentials: Credentials) -> Principal:
        """See `Admission`."""
        token = credentials.bearer
        found = self._by_token(token) if token else self._roster.owner(credentials.certificate)
        if found is None:
            raise NotAdmittedError(self._why(credentials))
        return found

    def _by_token(self, token: str) -> Principal | None:
        if self._jwt is not None and token.count(".") == _PARTS_OF_JWT - 1:
            return self._jwt.admit(token)
        held = self._roster.holder(token)
        return held or (self._shared.holder(token) if self._shared is not None else None)

    def _why(self, credentials: Credentials) -> str:
        if credentials.bearer:
            return self._roster.hindrance(credentials.bearer)
        if credentials.certificate:
            return f"nobody has a certificate of {', '.join(credentials.certificate)!r:.200}"
        return NOTHING_SHOWN


class Certified:
    """Lets in whoever has a certificate of the right authority, which TLS asks for, to do anything."""

    def admit(self, credentials: Credentials) -> Principal:
        """See `Admission`."""
        names = credentials.certificate
        return Principal(name=names[0] if names else "a certificate without a name", known=bool(names))
