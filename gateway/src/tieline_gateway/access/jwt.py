"""JSON Web Tokens: signed by somebody we trust, for us, and not for ever (RFC 7519, RFC 8725)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import msgspec
from jwt import exceptions

from tieline_gateway.access.admission import NotAdmittedError
from tieline_gateway.access.jwt_config import JwtConfig
from tieline_gateway.access.jwt_keys import ALGORITHMS, Keys, read_keys
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.rereading import Watched
from tieline_gateway.access.roster import Roster
from tieline_gateway.access.rules import Rules, RulesError, check_rules, principal

_log = logging.getLogger("tieline.gateway")
_LONGEST = 8_192
_REMEMBERED = 10_000
_LEEWAY_SECONDS = 5
_WHYS: Mapping[type[Exception], str] = {
    exceptions.ExpiredSignatureError: "has expired (exp)",
    exceptions.ImmatureSignatureError: "is not valid yet (nbf, iat)",
    exceptions.InvalidAudienceError: "is for another audience (aud)",
    exceptions.InvalidIssuerError: "is of another issuer (iss)",
    exceptions.InvalidSignatureError: "has a wrong signature",
    exceptions.InvalidKeyError: "is signed with a key or an algorithm that is not trusted here",
    exceptions.DecodeError: "cannot be read",
}
"""What is wrong with a token, the narrower kinds before the wider ones."""
_SIGNED = (
    exceptions.ExpiredSignatureError,
    exceptions.ImmatureSignatureError,
    exceptions.InvalidAudienceError,
    exceptions.InvalidIssuerError,
    exceptions.MissingRequiredClaimError,
)
"""What is found wrong after the signature was found right."""


class _Role(msgspec.Struct, forbid_unknown_fields=True):
    role: str


class _Known(NamedTuple):
    principal: Principal
    expires: float


class JsonWebTokens:
    """Lets in who shows a token that is signed with one of the keys.

    Raises:
        RulesError: an algorithm is none that is safe, or the keys cannot be read.

    """

    def __init__(self, config: JwtConfig, roster: Roster) -> None:
        unsafe = [name for name in config.algorithms if name not in ALGORITHMS]
        if unsafe or not config.algorithms:
            raise RulesError(f"jwt: algorithms are some of {', '.join(ALGORITHMS)}; {unsafe or 'none'} cannot be used")
        if not config.audience:
            raise RulesError("jwt: audience must say what tokens for this gateway have as `aud`")
        self._config = config
        self._roster = roster
        self._file = Watched(Path(config.keys))
        self._keys: Keys = read_keys(Path(config.keys))
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._version = roster.version

    def admit(self, token: str) -> Principal:
        """Say whose token this is.

        Raises:
            NotAdmittedError: it is not signed, not for us, not yet or no longer valid.

        """
        self._look()
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._verify(token)
            self._known[digest] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        elif known.expires <= time.time():
            del self._known[digest]
            raise NotAdmittedError(f"the JSON Web Token of {known.principal.name!r:.80} has expired (exp)")
        return known.principal

    def _verify(self, token: str) -> _Known:
        if len(token) > _LONGEST:
            raise NotAdmittedError(f"the JSON Web Token has more than {_LONGEST:,} characters")
        try:
            claims = self._claims(token)
            return _Known(self._principal(claims), claims["exp"] + _LEEWAY_SECONDS)
        except (exceptions.PyJWTError, RulesError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise NotAdmittedError(f"the JSON Web Token {self._whose(token, error)}{_why(error)}") from None

    def _whose(self, token: str, error: Exception) -> str:
        """Its name, if its signature was right and something else was not."""
        if not isinstance(error, _SIGNED):
            return ""
        name = jwt.decode(token, options={"verify_signature": False}).get(self._config.name)
        return f"of {name!r:.80} " if name is not None else ""

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, kid = str(header.get("alg")), str(header.get("kid", ""))
        key = self._keys.get((kid, algorithm))
        if algorithm not in self._config.algorithms or key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._config.audience,
            issuer=self._config.issuer or None,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "aud", self._config.name], "strict_aud": False},
        )

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        name = claims[self._config.name]
        told = claims.get(self._config.claim)
        if not isinstance(name, str):
            raise RulesError("the name is no text")
        if told is None:
            rules = Rules()
            return self._roster.named(name) or principal(name, rules, self._roster.meter(name, rules))
        if isinstance(told, dict) and "role" in told:
            role = self._roster.named(msgspec.convert(told, _Role).role)
            if role is None:
                raise RulesError("the role is unknown")
            return self._in_role(name, role)
        rules = msgspec.convert(told, Rules)
        check_rules(name, rules)
        return principal(name, rules, self._roster.meter(name, rules))

    def _in_role(self, name: str, role: Principal) -> Principal:
        rules = Rules(limits=role.meter.limits)
        check_rules(name, rules)
        meter = self._roster.meter(name, rules)
        return Principal(name=name, permissions=role.permissions, services=role.services, meter=meter)

    def _look(self) -> None:
        if self._roster.version != self._version:
            self._version = self._roster.version
            self._known.clear()
        if not self._file.changed():
            return
        path = self._file.paths[0]
        try:
            self._keys = read_keys(path)
        except RulesError as error:
            _log.error("the keys of before go on to be valid: %s", error)
        else:
            self._known.clear()
            _log.info("read the keys of JSON Web Tokens in %s again", path)


def _why(error: Exception) -> str:
    if isinstance(error, exceptions.MissingRequiredClaimError):
        return f"lacks {error.claim!r:.80}"
    if isinstance(error, RulesError | msgspec.ValidationError):
        return f"has rules that cannot be meant: {str(error)!r:.200}"
    return next((why for kind, why in _WHYS.items() if isinstance(error, kind)), "cannot be read")
