"""The one door of a gateway: credentials in, a principal out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tieline_gateway.access.principal import ANYBODY, Principal


class Credentials(NamedTuple):
    """What somebody shows: the token behind `Authorization: Bearer`, and the names in their TLS certificate."""

    bearer: str = ""
    certificate: tuple[str, ...] = ()


class Admission(Protocol):
    """Decides who comes in."""

    def admit(self, credentials: Credentials) -> Principal:
        """Say who this is.

        Raises:
            UnauthenticatedError: nobody we know; it does not say more.

        """
        ...


class Open:
    """Lets everybody in."""

    def admit(self, credentials: Credentials) -> Principal:
        """See `Admission`."""
        return ANYBODY


def bearer(authorization: str | bytes) -> str:
    """Return the token in the value of a header `authorization`; empty if there is none."""
    text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
