from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_EVENT: _ClassVar[Kind]
    KIND_REQUEST: _ClassVar[Kind]
    KIND_ACCEPTED: _ClassVar[Kind]
    KIND_REPLY: _ClassVar[Kind]
    KIND_CANCEL: _ClassVar[Kind]
    KIND_STREAM_ITEM: _ClassVar[Kind]
    KIND_STREAM_END: _ClassVar[Kind]
    KIND_CREDIT: _ClassVar[Kind]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_NOT_DELIVERED: _ClassVar[Outcome]
    OUTCOME_MAY_HAVE_RUN: _ClassVar[Outcome]
    OUTCOME_RAN: _ClassVar[Outcome]

class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODE_UNSPECIFIED: _ClassVar[Code]
    CODE_TIMEOUT: _ClassVar[Code]
    CODE_NO_RESPONDERS: _ClassVar[Code]
    CODE_RESPONDER_LOST: _ClassVar[Code]
    CODE_UNAVAILABLE: _ClassVar[Code]
    CODE_OVERLOADED: _ClassVar[Code]
    CODE_HANDLER_ERROR: _ClassVar[Code]
    CODE_INVALID_TOPIC: _ClassVar[Code]
    CODE_INVALID_PAYLOAD: _ClassVar[Code]
    CODE_INVALID_ARGUMENT: _ClassVar[Code]
    CODE_PAYLOAD_TOO_LARGE: _ClassVar[Code]
    CODE_EXPIRED: _ClassVar[Code]
    CODE_CANCELLED: _ClassVar[Code]
    CODE_UNAUTHENTICATED: _ClassVar[Code]
    CODE_PERMISSION_DENIED: _ClassVar[Code]
    CODE_NOT_FOUND: _ClassVar[Code]
    CODE_ALREADY_EXISTS: _ClassVar[Code]
    CODE_CONFLICT: _ClassVar[Code]
    CODE_UNSUPPORTED: _ClassVar[Code]
    CODE_LOOP_DETECTED: _ClassVar[Code]
    CODE_INTERNAL: _ClassVar[Code]
KIND_UNSPECIFIED: Kind
KIND_EVENT: Kind
KIND_REQUEST: Kind
KIND_ACCEPTED: Kind
KIND_REPLY: Kind
KIND_CANCEL: Kind
KIND_STREAM_ITEM: Kind
KIND_STREAM_END: Kind
KIND_CREDIT: Kind
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_NOT_DELIVERED: Outcome
OUTCOME_MAY_HAVE_RUN: Outcome
OUTCOME_RAN: Outcome
CODE_UNSPECIFIED: Code
CODE_TIMEOUT: Code
CODE_NO_RESPONDERS: Code
CODE_RESPONDER_LOST: Code
CODE_UNAVAILABLE: Code
CODE_OVERLOADED: Code
CODE_HANDLER_ERROR: Code
CODE_INVALID_TOPIC: Code
CODE_INVALID_PAYLOAD: Code
CODE_INVALID_ARGUMENT: Code
CODE_PAYLOAD_TOO_LARGE: Code
CODE_EXPIRED: Code
CODE_CANCELLED: Code
CODE_UNAUTHENTICATED: Code
CODE_PERMISSION_DENIED: Code
CODE_NOT_FOUND: Code
CODE_ALREADY_EXISTS: Code
CODE_CONFLICT: Code
CODE_UNSUPPORTED: Code
CODE_LOOP_DETECTED: Code
CODE_INTERNAL: Code

class Envelope(_message.Message):
    __slots__ = ("id", "kind", "topic", "source", "correlation_id", "causation_id", "call_id", "reply_to", "time", "ttl_ms", "expires_at", "headers", "content_type", "data", "schema_version", "key", "priority", "hops", "idempotency_key", "fingerprint", "error", "stream", "idempotent", "group", "redriven", "scheduled", "replay")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    REDRIVEN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: Kind
    topic: str
    source: str
    correlation_id: str
    causation_id: str
    call_id: bytes
    reply_to: str
    time: int
    ttl_ms: int
    expires_at: int
    headers: _containers.ScalarMap[str, str]
    content_type: str
    data: bytes
    schema_version: str
    key: str
    priority: int
    hops: int
    idempotency_key: str
    fingerprint: bytes
    error: Error
    stream: Stream
    idempotent: bool
    group: str
    redriven: int
    scheduled: int
    replay: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., topic: _Optional[str] = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., call_id: _Optional[bytes] = ..., reply_to: _Optional[str] = ..., time: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., expires_at: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., content_type: _Optional[str] = ..., data: _Optional[bytes] = ..., schema_version: _Optional[str] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., fingerprint: _Optional[bytes] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., stream: _Optional[_Union[Stream, _Mapping]] = ..., idempotent: bool = ..., group: _Optional[str] = ..., redriven: _Optional[int] = ..., scheduled: _Optional[int] = ..., replay: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedCompositeFieldContainer[Envelope]
    def __init__(self, envelopes: _Optional[_Iterable[_Union[Envelope, _Mapping]]] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("sequence", "consumed", "window")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    consumed: int
    window: int
    def __init__(self, sequence: _Optional[int] = ..., consumed: _Optional[int] = ..., window: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "details", "outcome", "type", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: Code
    message: str
    details: bytes
    outcome: Outcome
    type: str
    retry_after_ms: int
    def __init__(self, code: _Optional[_Union[Code, str]] = ..., message: _Optional[str] = ..., details: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., type: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Trail(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("name", "time", "source", "topic", "call_id", "detail", "micros")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    name: str
    time: int
    source: str
    topic: str
    call_id: bytes
    detail: bytes
    micros: int
    def __init__(self, name: _Optional[str] = ..., time: _Optional[int] = ..., source: _Optional[str] = ..., topic: _Optional[str] = ..., call_id: _Optional[bytes] = ..., detail: _Optional[bytes] = ..., micros: _Optional[int] = ...) -> None: ...
