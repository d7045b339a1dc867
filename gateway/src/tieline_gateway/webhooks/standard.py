"""Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`, both ways.

Source of the rules: github.com/standard-webhooks/standard-webhooks, "Webhook scheme". Symmetric signatures (`v1`) only.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers

from tieline_gateway.webhooks.arrival import (
    Arrival,
    Reason,
    bad_headers,
    check_event,
    check_id,
    content_type,
    read_json,
    unsigned,
)

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
TOLERANCE_SECONDS = 300
"""So much may lie between when it was signed and now, either way."""
UNTYPED = "untyped"
"""The name of an event whose body has no `type`."""

_VERSION = "v1,"
_PREFIX = "whsec_"
_LEAST, _MOST = 16, 128
_MOST_SIGNATURES = 16
_MOST_DIGITS = 12


def read_secret(text: str) -> bytes:
    """Read a secret: `whsec_` and base64 of 16 to 128 bytes.

    Raises:
        ValueError: it is none.

    """
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        secret = b""
    if not _LEAST <= len(secret) <= _MOST:
        advice = 'make one with: echo "whsec_$(openssl rand -base64 32)"'
        raise ValueError(f"a secret is {_PREFIX} and base64 of {_LEAST} to {_MOST} bytes; {advice}")
    return secret


def sign(secrets: Sequence[bytes], id: str, timestamp: int, body: bytes) -> str:
    """Make the value of `webhook-signature`: one signature for each secret.

    Args:
        secrets: more than one while a new one takes over.
        id: of the message, the same for each try.
        timestamp: of this try, seconds since 1970.
        body: as it is sent.

    """
    content = b"%s.%d.%s" % (id.encode(), timestamp, body)
    return " ".join(_VERSION + base64.b64encode(hmac.digest(secret, content, "sha256")).decode() for secret in secrets)


class Standard:
    """See `Kind`."""

    def __init__(self, name: str) -> None:
        self._source = f"/webhooks/{name}"

    def secret(self, text: str) -> bytes:
        """See `Kind`."""
        return read_secret(text)

    def read(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> Arrival:
        """See `Kind`."""
        name, timestamp = check_id(headers, ID), _timestamp(headers, now)
        _verify(headers, sign(secrets, name, timestamp, body))
        kind = content_type(headers)
        if kind != "application/json" and not kind.endswith("+json"):
            told = f"the body must be application/json, not {kind or 'of no content type'}"
            raise bad_headers(told, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        document = read_json(body)
        event = check_event(document.get("type", UNTYPED), "the member 'type' of the body")
        return Arrival(name, event, event, self._source, "", timestamp * 1000, body, document)


def _timestamp(headers: Headers, now: float) -> int:
    given = headers.get(TIMESTAMP)
    if given is None:
        raise bad_headers("the header webhook-timestamp is missing; it says when this try was signed")
    if not (given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS):
        raise bad_headers(f"webhook-timestamp is in seconds since 1970, not {given!r:.80}")
    away = math.floor(now) - int(given)
    if abs(away) > TOLERANCE_SECONDS:
        when = f"{abs(away)} s {'ago' if away > 0 else 'from now'}"
        told = f"it was signed {when}, at most {TOLERANCE_SECONDS} s are allowed: check both clocks"
        raise unsigned(told, Reason.TIMESTAMP)
    return int(given)


def _verify(headers: Headers, expected: str) -> None:
    given = headers.get(SIGNATURE)
    if given is None:
        raise unsigned("the header webhook-signature is missing")
    signatures = [each for each in given.split(" ")[:_MOST_SIGNATURES] if each.startswith(_VERSION)]
    if not signatures:
        raise unsigned(f"webhook-signature has no signature that begins with {_VERSION!r}; others are not known")
    matches = [
        hmac.compare_digest(ours.encode(), theirs.encode("latin-1"))
        for ours in expected.split(" ")
        for theirs in signatures
    ]
    if not any(matches):
        raise unsigned("webhook-signature does not fit: the secret is another one, or something was changed")
