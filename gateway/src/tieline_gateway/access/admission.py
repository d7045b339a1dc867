"""The one door of a gateway: credentials in, a principal out."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from tieline.errors import UnauthenticatedError
from tieline_gateway.access.principal import ANYBODY, Principal

WANTED = "a valid token is needed: authorization: Bearer <token>"
"""What is said to who shows nothing that can be used; it never says what was wrong with it."""


class NotAdmittedError(UnauthenticatedError):
    """Nobody we know. Whoever asks is told the same, whatever was wrong; the log is told why.

    Attributes:
        why: what was wrong, and whose it was where that is known; nothing of the token itself.

    """

    def __init__(self, why: str, told: str = WANTED) -> None:
        super().__init__(told)
        self.why = why


NOTHING_SHOWN = "no token was shown"
"""Why somebody is refused who may not know yet that a token is wanted."""


class Credentials(NamedTuple):
    """What somebody shows.

    Attributes:
        bearer: the token behind `Authorization: Bearer`.
        certificate: the names in their TLS certificate, which the TLS library has verified.
        until: when that certificate ends, seconds since 1970.

    """

    bearer: str = ""
    certificate: tuple[str, ...] = ()
    until: float = math.inf


class Admission(Protocol):
    """Decides who comes in."""

    def admit(self, credentials: Credentials) -> Principal:
        """Say who this is. Asked again while a stream is open; another answer ends the stream.

        Raises:
            NotAdmittedError: nobody we know.

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
