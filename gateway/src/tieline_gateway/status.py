"""Our errors as gRPC statuses with `google.rpc` details. Rules: SPEC.md, section 8."""

from __future__ import annotations

import json
from typing import NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tieline._contract.contract import ERRORS
from tieline.errors import TielineError

DOMAIN = "tieline"
_MESSAGE_CHARACTERS = 1_000
_DETAILS_CHARACTERS = 2_000
_CUT = "…"


class Refusal(NamedTuple):
    """What ends a gRPC call: the status's name, its message, and a serialized `google.rpc.Status`."""

    code: str
    message: str
    details: bytes


def refusal(error: TielineError) -> Refusal:
    """Turn an error into a status. Long texts are cut: they travel in HTTP/2 headers."""
    name = ERRORS[_status_code(error)].grpc
    message = _short(error.message, _MESSAGE_CHARACTERS)
    status = Status(code=code_pb2.Code.Value(name), message=message)
    info, retry = Any(), Any()
    info.Pack(ErrorInfo(reason=error.code, domain=DOMAIN, metadata=_metadata(error)))
    status.details.append(info)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        retry.Pack(RetryInfo(retry_delay=delay))
        status.details.append(retry)
    return Refusal(name, message, status.SerializeToString())


def _status_code(error: TielineError) -> str:
    """The code whose status is used: a handler that raised one of our errors passes its code on."""
    raised = error.details.get("code") if error.code == "HANDLER_ERROR" else None
    return raised if isinstance(raised, str) and raised in ERRORS else error.code


def _metadata(error: TielineError) -> dict[str, str]:
    metadata = {"outcome": error.outcome.value, "retryable": str(error.retryable).lower()}
    if error.type:
        metadata["type"] = _short(error.type, 200)
    if error.details:
        metadata["details"] = _short(json.dumps(error.details, default=str, ensure_ascii=False), _DETAILS_CHARACTERS)
    return metadata


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + _CUT
