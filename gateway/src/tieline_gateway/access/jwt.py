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
from jwt.exceptions import PyJWTError

from tieline.errors import UnauthenticatedError
from tieline_gateway.access.admission import WANTED
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
            UnauthenticatedError: it is not signed, not for us, not yet or no longer valid.

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
            raise UnauthenticatedError(WANTED)
        return known.principal

    def _verify(self, token: str) -> _Known:
        if len(token) > _LONGEST:
            raise UnauthenticatedError(WANTED)
        try:
            claims = self._claims(token)
            return _Known(self._principal(claims), claims["exp"] + _LEEWAY_SECONDS)
        except (PyJWTError, RulesError, msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
            _log.debug("a JSON Web Token was refused: %s", type(error).__name__)
            raise UnauthenticatedError(WANTED) from None

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
