"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from tieline._contract.contract import ERRORS
from tieline.errors import InternalError, TielineError

_log = logging.getLogger("tieline.gateway")
_TYPE = "urn:tieline:error:"
MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong. `code` is one of the closed list; `outcome` says whether something was delivered or ran."""

    type: str
    title: str
    status: int
    code: str
    outcome: str
    retryable: bool = False
    detail: str = ""
    retry_after: float | None = None
    """Seconds."""
    handler_error: str = ""
    """The type of what a handler raised."""
    correlation_id: str = ""
    details: dict[str, Any] = {}


class HttpError(Exception):
    """What HTTP alone knows to be wrong: a status of its own, told with the code of one of our errors."""

    def __init__(self, status: HTTPStatus, error: TielineError, headers: dict[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers or {}


def problem(error: TielineError, status: int = 0) -> Problem:
    """Describe an error; `status` is that of its code unless given."""
    return Problem(
        type=_TYPE + error.code,
        title=_title(error.code),
        status=status or ERRORS[error.code].http,
        code=error.code,
        outcome=error.outcome.value,
        retryable=error.retryable,
        detail=error.message,
        retry_after=error.retry_after,
        handler_error=error.type,
        correlation_id=error.correlation_id,
        details=error.details,
    )


def problem_of(error: Exception) -> Problem:
    """Describe whatever went wrong; what is no error of ours is a defect, goes to the log, and is not shown."""
    if isinstance(error, HttpError):
        return problem(error.error, error.status)
    if isinstance(error, TielineError):
        return problem(error)
    _log.error("an HTTP request failed inside the gateway", exc_info=error)
    return problem(InternalError("the gateway failed; its log says why"))


def refusal(error: Exception) -> Response:
    """Answer with what went wrong: see `problem_of`."""
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    told = problem_of(error)
    if told.retry_after is not None:
        headers["retry-after"] = str(math.ceil(told.retry_after))
    if told.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("www-authenticate", "Bearer")
    body = msgspec.json.encode(told, enc_hook=str)
    return Response(body, told.status, headers, MEDIA_TYPE)


def _title(code: str) -> str:
    return code.replace("_", " ").capitalize()
