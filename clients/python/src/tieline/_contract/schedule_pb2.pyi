from tieline._contract import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Misfire(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISFIRE_UNSPECIFIED: _ClassVar[Misfire]
    MISFIRE_SKIP: _ClassVar[Misfire]
    MISFIRE_FIRE_ONCE: _ClassVar[Misfire]
    MISFIRE_CATCH_UP: _ClassVar[Misfire]
MISFIRE_UNSPECIFIED: Misfire
MISFIRE_SKIP: Misfire
MISFIRE_FIRE_ONCE: Misfire
MISFIRE_CATCH_UP: Misfire

class CronTask(_message.Message):
    __slots__ = ("name", "expression", "zone", "jitter_ms", "start", "end", "misfire", "grace_ms", "paused", "event", "call", "retries", "retry_ms", "created", "updated", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    MISFIRE_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    expression: str
    zone: str
    jitter_ms: int
    start: int
    end: int
    misfire: Misfire
    grace_ms: int
    paused: bool
    event: CronEvent
    call: CronCall
    retries: int
    retry_ms: int
    created: int
    updated: int
    source: str
    def __init__(self, name: _Optional[str] = ..., expression: _Optional[str] = ..., zone: _Optional[str] = ..., jitter_ms: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., misfire: _Optional[_Union[Misfire, str]] = ..., grace_ms: _Optional[int] = ..., paused: bool = ..., event: _Optional[_Union[CronEvent, _Mapping]] = ..., call: _Optional[_Union[CronCall, _Mapping]] = ..., retries: _Optional[int] = ..., retry_ms: _Optional[int] = ..., created: _Optional[int] = ..., updated: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class CronRun(_message.Message):
    __slots__ = ("tick", "started", "ended", "status", "attempts", "error", "content_type", "reply", "omitted")
    TICK_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    tick: int
    started: int
    ended: int
    status: str
    attempts: int
    error: _envelope_pb2.Error
    content_type: str
    reply: bytes
    omitted: bool
    def __init__(self, tick: _Optional[int] = ..., started: _Optional[int] = ..., ended: _Optional[int] = ..., status: _Optional[str] = ..., attempts: _Optional[int] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., content_type: _Optional[str] = ..., reply: _Optional[bytes] = ..., omitted: bool = ...) -> None: ...

class CronEvent(_message.Message):
    __slots__ = ("topic", "content_type", "data", "key", "durable", "priority", "ttl_ms", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    content_type: str
    data: bytes
    key: str
    durable: bool
    priority: int
    ttl_ms: int
    headers: _containers.ScalarMap[str, str]
    def __init__(self, topic: _Optional[str] = ..., content_type: _Optional[str] = ..., data: _Optional[bytes] = ..., key: _Optional[str] = ..., durable: bool = ..., priority: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CronCall(_message.Message):
    __slots__ = ("topic", "content_type", "data", "ttl_ms", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    content_type: str
    data: bytes
    ttl_ms: int
    headers: _containers.ScalarMap[str, str]
    def __init__(self, topic: _Optional[str] = ..., content_type: _Optional[str] = ..., data: _Optional[bytes] = ..., ttl_ms: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...
