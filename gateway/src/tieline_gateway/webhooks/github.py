"""How GitHub sends: `X-GitHub-Event`, `X-GitHub-Delivery`, `X-Hub-Signature-256`.

Source of the rules: docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads".
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from tieline_gateway.webhooks.arrival import (
    Arrival,
    bad_body,
    bad_headers,
    check_event,
    check_id,
    content_type,
    read_json,
    unsigned,
)

EVENT = "x-github-event"
DELIVERY = "x-github-delivery"
SIGNATURE = "x-hub-signature-256"
PING = "ping"
"""What GitHub sends when a webhook is made; it is answered, and nothing else."""

_OLD_SIGNATURE = "x-hub-signature"
_SHORTEST = 16
_MOST_TEXT = 255
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


def sign(secret: bytes, body: bytes) -> str:
    """Make the value of `X-Hub-Signature-256`."""
    return f"sha256={hmac.digest(secret, body, 'sha256').hex()}"


class GitHub:
    """See `Kind`."""

    def secret(self, text: str) -> bytes:
        """See `Kind`."""
        if len(text) < _SHORTEST:
            raise ValueError(f"a secret has at least {_SHORTEST} characters; make one with: openssl rand -hex 32")
        return text.encode()

    def read(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> Arrival:
        """See `Kind`. GitHub says no time: `now` is not looked at."""
        _verify(headers, body, secrets)
        event = _event(headers)
        delivery = check_id(headers, DELIVERY)
        data = _document(headers, body)
        document = read_json(data)
        repository = _member(document, "repository")
        source = _text(repository, "html_url") or "https://github.com"
        return Arrival(
            delivery, event, f"com.github.{event}", source, _text(repository, "full_name"), 0, data, document
        )


def _verify(headers: Headers, body: bytes, secrets: Sequence[bytes]) -> None:
    given = headers.get(SIGNATURE)
    if given is None and _OLD_SIGNATURE in headers:
        raise unsigned("it is signed with SHA-1 only; SHA-256 is needed: the header X-Hub-Signature-256")
    if given is None:
        raise unsigned("the header X-Hub-Signature-256 is missing: set the secret of the webhook")
    told = given.encode("latin-1")
    matches = [hmac.compare_digest(sign(secret, body).encode(), told) for secret in secrets]
    if not any(matches):
        raise unsigned("X-Hub-Signature-256 does not fit the body: the secret is another one, or the body was changed")


def _event(headers: Headers) -> str:
    given = headers.get(EVENT)
    if given is None:
        raise bad_headers("the header X-GitHub-Event is missing; it has the name of the event")
    if "." in given:
        raise bad_headers(f"X-GitHub-Event is one word without dots, not {given!r:.80}")
    return check_event(given, "X-GitHub-Event")


def _document(headers: Headers, body: bytes) -> bytes:
    """The JSON in the body, which may be a form."""
    kind = content_type(headers)
    if kind == _JSON:
        return body
    if kind != _FORM:
        told = f"the body must be {_JSON} or {_FORM}, not {kind or 'of no content type'}"
        raise bad_headers(told, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        fields = dict(parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=8, errors="strict"))
    except ValueError:
        raise bad_body("the body is no form of a few fields in UTF-8") from None
    if "payload" not in fields:
        raise bad_body("the form has no field 'payload'")
    return fields["payload"].encode()


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    member = document.get(name)
    return member if isinstance(member, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(member: dict[str, Any], name: str) -> str:
    """A text that fits into a header; anything else is left out."""
    text = member.get(name)
    return text if isinstance(text, str) and len(text) <= _MOST_TEXT and text.isprintable() else ""
