"""What arrives from outside, verified and read; and why it is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.datastructures import Headers

from tieline import codec
from tieline._contract.contract import LIMIT_PAYLOAD_DEPTH
from tieline.errors import (
    InvalidArgumentError,
    InvalidPayloadError,
    TielineError,
    UnauthenticatedError,
)
from tieline_gateway.http.problems import HttpError

_is_id = re.compile(r"[\x21-\x7e]{1,128}").fullmatch
_is_event = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,9}").fullmatch
_decode = msgspec.json.Decoder().decode


class Reason(StrEnum):
    """Why a delivery is refused, as it is counted."""

    SIGNATURE = "signature"
    TIMESTAMP = "timestamp"
    HEADERS = "headers"
    BODY = "body"
    TOO_LARGE = "too_large"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


class Refused(HttpError):
    """A delivery is refused: nothing of it is kept."""

    def __init__(self, reason: Reason, error: TielineError, status: HTTPStatus, **headers: str) -> None:
        super().__init__(status, error, {name.replace("_", "-"): value for name, value in headers.items()})
        self.reason = reason


class Arrival(NamedTuple):
    """A delivery that was verified.

    Attributes:
        id: the sender's, the same for each try.
        event: its name, one or more tokens of a topic.
        type: as CloudEvents has it.
        source: as CloudEvents has it: where it comes from.
        subject: as CloudEvents has it: what it is about; empty if that is not known.
        time: when it happened or was sent (ms since 1970); 0 if the sender does not say.
        data: the JSON document, as it came.
        document: the same, read.

    """

    id: str
    event: str
    type: str
    source: str
    subject: str
    time: int
    data: bytes
    document: dict[str, Any]


class Kind(Protocol):
    """How one family of senders signs and describes what it sends."""

    def secret(self, text: str) -> bytes:
        """Read a secret.

        Raises:
            ValueError: it is none; the message says what one looks like.

        """
        ...

    def read(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> Arrival:
        """Verify a delivery, and read it.

        Args:
            headers: of the request.
            body: as it came.
            secrets: any of which may have signed it.
            now: seconds since 1970.

        Raises:
            Refused: it is not signed with one of them, or makes no sense.

        """
        ...


def unsigned(told: str, reason: Reason = Reason.SIGNATURE) -> Refused:
    """It is not signed, or not by whom it should be, or not when."""
    error, scheme = UnauthenticatedError(told), "Webhook-Signature"
    return Refused(reason, error, HTTPStatus.UNAUTHORIZED, www_authenticate=scheme)


def bad_headers(told: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Refused:
    """A header is missing, or says what cannot be."""
    return Refused(Reason.HEADERS, InvalidArgumentError(told), status)


def bad_body(told: str) -> Refused:
    """The body is signed, and cannot be used all the same."""
    return Refused(Reason.BODY, InvalidPayloadError(told), HTTPStatus.BAD_REQUEST)


def check_id(headers: Headers, name: str) -> str:
    """The id of the delivery.

    Raises:
        Refused: there is none, or it is too long, or has spaces or characters other than ASCII.

    """
    given = headers.get(name)
    if given is None:
        raise bad_headers(f"the header {name} is missing; it has the id of the delivery")
    if not _is_id(given):
        raise bad_headers(f"{name} has 1 to 128 visible ASCII characters, not {given!r:.80}")
    return given


def check_event(given: object, what: str) -> str:
    """The name of the event, which is to become a part of a topic.

    Raises:
        Refused: it cannot be one.

    """
    if isinstance(given, str) and _is_event(given):
        return given
    raise bad_headers(f"{what} is one to ten tokens of A-Z a-z 0-9 _ and - with dots between, not {given!r:.80}")


def read_json(data: bytes) -> dict[str, Any]:
    """Read the document, which must be an object that every language can read.

    Raises:
        Refused: it is none.

    """
    try:
        document = _decode(data)
        if data.count(b"[") + data.count(b"{") > LIMIT_PAYLOAD_DEPTH:
            codec.decode(data, codec.JSON)  # says if it is too deep
    except InvalidPayloadError as error:
        raise bad_body(error.message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_body(f"the body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad_body("the body must be a JSON object")
    return document


def content_type(headers: Headers) -> str:
    """The media type, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
