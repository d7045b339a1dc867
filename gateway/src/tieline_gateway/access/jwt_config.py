"""What can be set for JSON Web Tokens."""

from __future__ import annotations

from pathlib import Path

import msgspec


class JwtConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`[jwt]` of the configuration.

    `keys` is a file: a JWKS, or the PEM of one public key. The claim `claim` holds what a principal may do: a table
    like `[principals.NAME]`, or `{"role": NAME}` to take the rules of that table. Without it those of the table with
    the principal's own name hold, and nothing is allowed if there is none.
    """

    keys: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    issuer: str = ""
    name: str = "sub"
    claim: str = "tieline"

    def placed(self, folder: Path) -> JwtConfig:
        """The same, where the name of the file is told from this folder."""
        return msgspec.structs.replace(self, keys=str(folder / self.keys))
