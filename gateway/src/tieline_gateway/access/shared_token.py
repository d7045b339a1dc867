"""One token for everybody, compared in constant time."""

from __future__ import annotations

import hmac
from pathlib import Path

from tieline_gateway.access.admission import NOTHING_SHOWN, Credentials, NotAdmittedError
from tieline_gateway.access.principal import Principal

_SHORTEST = 16
_HOLDER = Principal(name="token", known=False)


class TokenError(Exception):
    """The file holds no token that can be used."""


class SharedToken:
    """Lets in whoever knows the token, to do anything."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    @classmethod
    def from_file(cls, path: Path) -> SharedToken:
        """Read the token from the first line of a file.

        Raises:
            TokenError: the file cannot be read, or its token has less than 16 characters.

        """
        try:
            token = path.read_text().partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"cannot read the token file {path}: {error}") from None
        if len(token) < _SHORTEST:
            raise TokenError(f"the token in {path} has {len(token)} characters; it must have at least {_SHORTEST}")
        return cls(token)

    def admit(self, credentials: Credentials) -> Principal:
        """See `Admission`."""
        found = self.holder(credentials.bearer)
        if found is None:
            raise NotAdmittedError("it is not the token of --token-file" if credentials.bearer else NOTHING_SHOWN)
        return found

    def holder(self, token: str) -> Principal | None:
        """Whose token this is: of everybody who knows it, or nobody's."""
        return _HOLDER if hmac.compare_digest(token.encode(errors="surrogateescape"), self._token) else None
