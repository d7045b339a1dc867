"""The OpenAPI 3.1 document, read off the operations."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from importlib import metadata
from typing import Any, cast

import msgspec

from tieline._contract.contract import ERRORS
from tieline_gateway.http.event_stream import MEDIA_TYPE as EVENT_STREAM
from tieline_gateway.http.idempotency_key import NAME as IDEMPOTENCY_KEY
from tieline_gateway.http.openapi_schemas import Schemas, describe
from tieline_gateway.http.operation import Nothing, Operation
from tieline_gateway.http.problems import MEDIA_TYPE as PROBLEM
from tieline_gateway.http.problems import Problem
from tieline_gateway.http.serving import JSON

_DESCRIPTION = """\
Publish, call, and look after what waits. Moments are milliseconds since 1970, durations milliseconds (`*_ms`).
Errors are `application/problem+json`: `code` is one of a closed list, `outcome` says whether something was delivered \
or ran, `retryable` whether another try can succeed and does no harm."""
_ALWAYS = (
    "INVALID_ARGUMENT", "INVALID_TOPIC", "UNAUTHENTICATED", "PERMISSION_DENIED", "OVERLOADED", "UNAVAILABLE",
    "TIMEOUT", "UNSUPPORTED", "INTERNAL",
)  # fmt: skip
_WITH_BODY = ("INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE")
_OF_CALLS = ("NO_RESPONDERS", "RESPONDER_LOST", "HANDLER_ERROR", "EXPIRED", "CANCELLED", "LOOP_DETECTED")
_OF_HISTORY = ("NO_RESPONDERS", "NOT_FOUND")
_CHANGES = ("CONFLICT", "ALREADY_EXISTS", "NOT_FOUND")
_NEVER_MIND = {
    HTTPStatus.REQUEST_TIMEOUT: "The body, or the headers, did not arrive in time.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of a media type that is not listed.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers have more than 64 KiB.",
}
_parameter = re.compile(r"\{(\w+)(:path)?\}")


def openapi(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document for these operations."""
    listed = list(operations)
    schemas = Schemas(listed)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in listed:
        paths[_template(operation.path)][operation.method.lower()] = _Described(operation, schemas).told()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tieline gateway",
            "version": metadata.version("tieline-gateway"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, listed))],
        "paths": dict(paths),
        "security": [{}, {"token": []}],
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Described:
    """One operation."""

    def __init__(self, operation: Operation, schemas: Schemas) -> None:
        self._operation = operation
        self._schemas = schemas

    def told(self) -> dict[str, Any]:
        operation = self._operation
        told: dict[str, Any] = {
            "operationId": _name(operation),
            "summary": operation.summary,
            "description": inspect.cleandoc(operation.handler.__doc__ or operation.summary),
            "tags": [_tag(operation)],
        }
        parameters = [*_of_path(operation), *_of_query(operation), *_of_header(operation)]
        if parameters:
            told["parameters"] = parameters
        if operation.body is not Nothing:
            told["requestBody"] = {"required": True, "content": self._bodies()}
        told["responses"] = {**self._answer(), **self._errors()}
        return told

    def _bodies(self) -> dict[str, Any]:
        operation = self._operation
        bodies: dict[str, Any] = {JSON: {"schema": self._schemas.of(operation.body)}}
        if operation.example is not None:
            bodies[JSON]["example"] = operation.example
        return bodies | {media: {"schema": self._schemas.of(kind)} for media, kind in operation.also.items()}

    def _answer(self) -> dict[str, Any]:
        operation = self._operation
        if operation.streams:
            events = {name: self._schemas.of(kind) for name, kind in operation.streams.items()}
            told = {"x-tieline-events": events}
            return {"200": {"description": "Server-sent events.", "content": {EVENT_STREAM: told}}}
        if operation.answer is None:
            return {"204": {"description": "It is done."}}
        answers = operation.answer if isinstance(operation.answer, tuple) else (operation.answer,)
        schemas = [self._schemas.of(each) for each in cast("tuple[Any, ...]", answers)]
        content = {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
        return {str(int(operation.status)): {"description": "The answer.", "content": content}}

    def _errors(self) -> dict[str, Any]:
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in sorted(_codes(self._operation)):
            by_status[ERRORS[code].http].append(f"`{code}`")
        texts = {status: f"{', '.join(codes)}." for status, codes in by_status.items()}
        texts |= {int(status): text for status, text in _NEVER_MIND.items()}
        content = {PROBLEM: {"schema": self._schemas.of(Problem)}}
        return {str(status): {"description": text, "content": content} for status, text in sorted(texts.items())}


def _codes(operation: Operation) -> Iterator[str]:
    """Errors with which it may end."""
    codes = {*_ALWAYS}
    if operation.body is not Nothing:
        codes.update(_WITH_BODY)
    if _parameter.search(operation.path):
        codes.add("NOT_FOUND")
    if operation.method != "GET":
        codes.update(_CHANGES)
    if operation.path.startswith("/v1/calls"):
        codes.update(_OF_CALLS)
    if operation.path.startswith(("/v1/history", "/v1/replays")):
        codes.update(_OF_HISTORY)
    return iter(codes)


def _of_path(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, _ in _parameter.findall(operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _of_query(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is Nothing:
        return
    schema, components = msgspec.json.schema_components([operation.query], ref_template="{name}")
    del schema
    told = components[operation.query.__name__]
    describe(told, operation.query)
    for name, kind in told["properties"].items():
        whole = components[kind["$ref"]] if "$ref" in kind else kind
        described: dict[str, Any] = {"name": name, "in": "query", "schema": _without_null(whole)}
        if "description" in kind:
            described["description"] = described["schema"].pop("description")
        if name in told["required"]:
            described["required"] = True
        yield described


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it cannot be null."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    if len(kinds) == 1:
        return {**kinds[0], **rest}
    if None in schema.get("enum", ()):
        rest["enum"] = [value for value in schema["enum"] if value is not None]
    return {**rest, "anyOf": kinds} if kinds else rest


def _of_header(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.keyed:
        yield {
            "name": IDEMPOTENCY_KEY.title(),
            "in": "header",
            "description": "What has the same key is done once within 24 hours: an event is stored, a call runs.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }


def _template(path: str) -> str:
    return _parameter.sub(r"{\1}", path)


def _tag(operation: Operation) -> str:
    return operation.path.split("/")[2]


def _name(operation: Operation) -> str:
    """A name that no other operation has."""
    parts = [part.strip("{}") for part in _template(operation.path).split("/")[2:]]
    return "_".join([operation.method.lower(), *parts]).replace("-", "_")
