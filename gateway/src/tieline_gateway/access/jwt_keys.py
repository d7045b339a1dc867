"""Public keys of those who sign JSON Web Tokens: a JWKS (RFC 7517), or one key in a PEM file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.exceptions import PyJWTError

from tieline_gateway.access.rules import RulesError

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LEAST_RSA_BITS = 2048

ALGORITHMS = (*_RSA, *_CURVES.values(), "EdDSA")
"""Those with two keys: who can verify cannot sign. What goes with a shared secret, or without any, is never taken."""

Keys = Mapping[tuple[str, str], Any]
"""Public keys by `kid` and algorithm; a key is used with the algorithms of its own kind only."""


def read_keys(path: Path) -> Keys:
    """Read the keys in a file. The `kid` of the only one in a PEM file is empty.

    Raises:
        RulesError: it cannot be read, or holds no key that can be used.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RulesError(f"cannot read the keys in {path}: {error.strerror}") from None
    try:
        if content.lstrip().startswith(b"-----"):
            found = {("", name): key for key in [load_pem_public_key(content)] for name in _algorithms(key)}
        else:
            found = dict(_from_set(msgspec.json.decode(content, type=dict[str, Any])))
    except (ValueError, TypeError, KeyError, AttributeError, PyJWTError, msgspec.MsgspecError) as error:
        raise RulesError(f"{path} holds no public keys, neither as JWKS nor as PEM: {type(error).__name__}") from None
    if not found:
        raise RulesError(f"{path} holds no public key that can be used with {', '.join(ALGORITHMS)}")
    return found


def _from_set(told: dict[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for each in told["keys"]:
        if each.get("kty") == "oct" or "d" in each or each.get("use", "sig") != "sig":
            continue
        key = jwt.PyJWK(each).key
        for name in _algorithms(key):
            if each.get("alg", name) == name:
                yield (str(each.get("kid", "")), name), key


def _algorithms(key: object) -> tuple[str, ...]:
    match key:
        case RSAPublicKey() if key.key_size >= _LEAST_RSA_BITS:
            return _RSA
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return (_CURVES[key.curve.name],)
        case Ed25519PublicKey():
            return ("EdDSA",)
        case _:
            return ()
