"""The header `Idempotency-Key`."""

from __future__ import annotations

from starlette.requests import Request

from tieline.errors import InvalidArgumentError
from tieline.outgoing import check_key

NAME = "idempotency-key"


def idempotency_key(request: Request) -> str:
    """The key, bare or in quotes; empty if there is none.

    Raises:
        InvalidArgumentError: it is empty or too long, or there are two.

    """
    given = request.headers.getlist(NAME)
    if not given:
        return ""
    if len(given) > 1:
        raise InvalidArgumentError("there are several headers Idempotency-Key; a request has one")
    key = given[0].strip()
    quoted = len(key) > 1 and key[0] == key[-1] == '"'
    return check_key(key[1:-1] if quoted else key, "Idempotency-Key")
