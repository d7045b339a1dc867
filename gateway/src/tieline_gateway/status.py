"""Our errors as gRPC statuses with `google.rpc` details. Rules: SPEC.md, section 8."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tieline._contract.contract import ERRORS
from tieline.errors import TielineError

DOMAIN = "tieline"
_MESSAGE_BYTES = 2_000
_TYPE_BYTES = 200
_DETAILS_BYTES = 1_200
_CUT = "…"
"""All of a refusal stays below 8 KB: from there on clients of gRPC drop trailers, by chance up to 16 KB."""


class Refusal(NamedTuple):
    """What ends a gRPC call.

    Attributes:
        code: the name of the status.
        message: for people.
        details: a serialized `google.rpc.Status`.
        pushback: milliseconds until a client that retries by itself may come again; negative: it must not, as what it
            asked for may have been done. (gRPC's retry design, A6: `grpc-retry-pushback-ms`.) Empty: as it likes.

    """

    code: str
    message: str
    details: bytes
    pushback: str


def refusal(error: TielineError) -> Refusal:
    """Turn an error into a status. Long texts are cut: they travel in HTTP/2 headers."""
    name = ERRORS[_status_code(error)].grpc
    message = _short(error.message, _MESSAGE_BYTES, _percent_encoded)
    status = Status(code=code_pb2.Code.Value(name), message=message)
    info, retry = Any(), Any()
    info.Pack(ErrorInfo(reason=error.code, domain=DOMAIN, metadata=_metadata(error)))
    status.details.append(info)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        retry.Pack(RetryInfo(retry_delay=delay))
        status.details.append(retry)
    return Refusal(name, message, status.SerializeToString(), _pushback(error))


def _pushback(error: TielineError) -> str:
    if not error.retryable:
        return "-1"
    return "" if error.retry_after is None else str(int(error.retry_after * 1000))


def _status_code(error: TielineError) -> str:
    """The code whose status is used: a handler that raised one of our errors passes its code on."""
    raised = error.details.get("code") if error.code == "HANDLER_ERROR" else None
    return raised if isinstance(raised, str) and raised in ERRORS else error.code


def _metadata(error: TielineError) -> dict[str, str]:
    metadata = {"outcome": error.outcome.value, "retryable": str(error.retryable).lower()}
    if error.type:
        metadata["type"] = _short(error.type, _TYPE_BYTES)
    if error.details:
        metadata["details"] = _short(json.dumps(error.details, default=str, ensure_ascii=False), _DETAILS_BYTES)
    return metadata


def _utf8(character: str) -> int:
    return len(character.encode("utf-8", "replace"))


def _percent_encoded(character: str) -> int:
    """Bytes of a character in the trailer `grpc-message`."""
    return 1 if " " <= character <= "~" and character != "%" else 3 * _utf8(character)


def _short(text: str, limit: int, size: Callable[[str], int] = _utf8) -> str:
    """The text, or as much of its beginning as fits into so many bytes with the mark of a cut."""
    room = limit - size(_CUT)
    for index, character in enumerate(text):
        room -= size(character)
        if room < 0:
            return text if sum(map(size, text[: limit + 1])) <= limit else text[:index] + _CUT
    return text
