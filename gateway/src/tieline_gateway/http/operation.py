"""One operation of the HTTP API: what it takes and answers, and who does it. OpenAPI is read off it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request

from tieline_gateway.access.principal import Principal
from tieline_gateway.gateway import Gateway

Q = TypeVar("Q")
B = TypeVar("B")


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters, or no body."""


class Answer(NamedTuple):
    """An answer with headers of its own."""

    told: Any
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[Q, B]):
    """What somebody asks for, checked: the names in the path, the query, the body."""

    gateway: Gateway
    principal: Principal
    path: Mapping[str, str]
    query: Q
    body: B
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Args:
        method: GET, POST …
        path: with names in braces, from `/v1` on; `{name:path}` may have slashes.
        summary: one line.
        handler: does it; what it returns is told as JSON, None as 204, and a Starlette response as it is.
        query: struct of the parameters behind the question mark.
        body: struct of the JSON body; `Nothing` for none.
        read: reads the body instead, where it may be something else, too …
        also: … and what else, by media type, for the document.
        example: a body, for the document.
        answer: what the handler returns, for the document: a type, or one of several; None for nothing.
        status: of an answer.
        streams: if it answers with a stream, what each kind of its events holds.
        most_bytes: of the body.
        keyed: it takes the header `Idempotency-Key`.
        cancels: it is cancelled when the client leaves.

    """

    method: str
    path: str
    summary: str
    handler: Callable[[Asked[Any, Any]], Awaitable[Any]]
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] = Nothing
    read: Callable[[Request, bytes], Any] | None = None
    also: Mapping[str, Any] = field(default_factory=dict[str, Any])
    example: Any = None
    answer: Any = None
    status: int = HTTPStatus.OK
    streams: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict[str, type[msgspec.Struct]])
    most_bytes: int = 65_536
    keyed: bool = False
    cancels: bool = False
