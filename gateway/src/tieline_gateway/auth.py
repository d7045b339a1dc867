"""Who may come in: a bearer token, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path

_HEADER = "authorization"
_SCHEME = "bearer "
_SHORTEST = 16


class TokenError(Exception):
    """The file holds no token that can be used."""


class TokenAuth:
    """Lets in whoever knows the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    @classmethod
    def from_file(cls, path: Path) -> TokenAuth:
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

    def admits(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether the metadata of a call holds `authorization: Bearer <token>`."""
        given = next((value for name, value in metadata if name == _HEADER), "")
        if not isinstance(given, str) or not given.lower().startswith(_SCHEME):
            return False
        return hmac.compare_digest(given[len(_SCHEME) :].strip().encode(), self._token)
