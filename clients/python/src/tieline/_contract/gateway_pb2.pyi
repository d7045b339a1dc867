from tieline._contract import agenda_pb2 as _agenda_pb2
from tieline._contract import durable_pb2 as _durable_pb2
from tieline._contract import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Route(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_UNSPECIFIED: _ClassVar[Route]
    ROUTE_REQUEST: _ClassVar[Route]
    ROUTE_EVENT: _ClassVar[Route]
    ROUTE_GROUP: _ClassVar[Route]
    ROUTE_OBSERVER: _ClassVar[Route]
    ROUTE_INBOX: _ClassVar[Route]
    ROUTE_MAIL: _ClassVar[Route]
ROUTE_UNSPECIFIED: Route
ROUTE_REQUEST: Route
ROUTE_EVENT: Route
ROUTE_GROUP: Route
ROUTE_OBSERVER: Route
ROUTE_INBOX: Route
ROUTE_MAIL: Route

class PublishRequest(_message.Message):
    __slots__ = ("topic", "data", "content_type", "headers", "ttl_ms", "key", "priority", "schema_version", "correlation_id", "durable", "dedupe", "max_stored", "delay_ms", "at", "retry")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_FIELD_NUMBER: _ClassVar[int]
    MAX_STORED_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: bytes
    content_type: str
    headers: _containers.ScalarMap[str, str]
    ttl_ms: int
    key: str
    priority: int
    schema_version: str
    correlation_id: str
    durable: bool
    dedupe: str
    max_stored: int
    delay_ms: int
    at: int
    retry: _agenda_pb2.PlanRetry
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., ttl_ms: _Optional[int] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., schema_version: _Optional[str] = ..., correlation_id: _Optional[str] = ..., durable: bool = ..., dedupe: _Optional[str] = ..., max_stored: _Optional[int] = ..., delay_ms: _Optional[int] = ..., at: _Optional[int] = ..., retry: _Optional[_Union[_agenda_pb2.PlanRetry, _Mapping]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("id", "correlation_id", "stored", "due", "overdue")
    ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    id: str
    correlation_id: str
    stored: _durable_pb2.Stored
    due: int
    overdue: bool
    def __init__(self, id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., stored: _Optional[_Union[_durable_pb2.Stored, _Mapping]] = ..., due: _Optional[int] = ..., overdue: bool = ...) -> None: ...

class GetScheduleRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetScheduleResponse(_message.Message):
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: _agenda_pb2.Schedule
    def __init__(self, schedule: _Optional[_Union[_agenda_pb2.Schedule, _Mapping]] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    __slots__ = ("status", "page", "limit")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    status: _agenda_pb2.ScheduleStatus
    page: int
    limit: int
    def __init__(self, status: _Optional[_Union[_agenda_pb2.ScheduleStatus, str]] = ..., page: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListSchedulesResponse(_message.Message):
    __slots__ = ("schedules", "total")
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    schedules: _containers.RepeatedCompositeFieldContainer[_agenda_pb2.Schedule]
    total: int
    def __init__(self, schedules: _Optional[_Iterable[_Union[_agenda_pb2.Schedule, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class CancelScheduleRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelScheduleResponse(_message.Message):
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: _agenda_pb2.Schedule
    def __init__(self, schedule: _Optional[_Union[_agenda_pb2.Schedule, _Mapping]] = ...) -> None: ...

class RescheduleRequest(_message.Message):
    __slots__ = ("id", "delay_ms", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    delay_ms: int
    at: int
    def __init__(self, id: _Optional[str] = ..., delay_ms: _Optional[int] = ..., at: _Optional[int] = ...) -> None: ...

class RescheduleResponse(_message.Message):
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: _agenda_pb2.Schedule
    def __init__(self, schedule: _Optional[_Union[_agenda_pb2.Schedule, _Mapping]] = ...) -> None: ...

class RetryScheduleRequest(_message.Message):
    __slots__ = ("id", "delay_ms", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    delay_ms: int
    at: int
    def __init__(self, id: _Optional[str] = ..., delay_ms: _Optional[int] = ..., at: _Optional[int] = ...) -> None: ...

class RetryScheduleResponse(_message.Message):
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: _agenda_pb2.Schedule
    def __init__(self, schedule: _Optional[_Union[_agenda_pb2.Schedule, _Mapping]] = ...) -> None: ...

class PublishAndWaitRequest(_message.Message):
    __slots__ = ("topic", "data", "content_type", "headers", "idempotent", "idempotency_key", "schema_version", "correlation_id")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: bytes
    content_type: str
    headers: _containers.ScalarMap[str, str]
    idempotent: bool
    idempotency_key: str
    schema_version: str
    correlation_id: str
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., idempotent: bool = ..., idempotency_key: _Optional[str] = ..., schema_version: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class PublishAndWaitResponse(_message.Message):
    __slots__ = ("data", "content_type", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    content_type: str
    headers: _containers.ScalarMap[str, str]
    def __init__(self, data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PublishAndStreamRequest(_message.Message):
    __slots__ = ("topic", "data", "content_type", "headers", "schema_version", "correlation_id")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: bytes
    content_type: str
    headers: _containers.ScalarMap[str, str]
    schema_version: str
    correlation_id: str
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., schema_version: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class PublishAndStreamResponse(_message.Message):
    __slots__ = ("data", "content_type")
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    content_type: str
    def __init__(self, data: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class PublishAndGatherRequest(_message.Message):
    __slots__ = ("topic", "data", "content_type", "headers", "schema_version", "correlation_id", "every_instance", "max_replies")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    EVERY_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLIES_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: bytes
    content_type: str
    headers: _containers.ScalarMap[str, str]
    schema_version: str
    correlation_id: str
    every_instance: bool
    max_replies: int
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., schema_version: _Optional[str] = ..., correlation_id: _Optional[str] = ..., every_instance: bool = ..., max_replies: _Optional[int] = ...) -> None: ...

class PublishAndGatherResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Gathered]
    def __init__(self, answers: _Optional[_Iterable[_Union[Gathered, _Mapping]]] = ...) -> None: ...

class Gathered(_message.Message):
    __slots__ = ("responder", "data", "content_type", "error", "missing")
    RESPONDER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    responder: Responder
    data: bytes
    content_type: str
    error: _envelope_pb2.Error
    missing: bool
    def __init__(self, responder: _Optional[_Union[Responder, _Mapping]] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., missing: bool = ...) -> None: ...

class Responder(_message.Message):
    __slots__ = ("service", "instance", "groups")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[str] = ..., instance: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("topic", "group")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    topic: str
    group: str
    def __init__(self, topic: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("subscribed", "event", "gap")
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    subscribed: Subscribed
    event: _envelope_pb2.Envelope
    gap: Gap
    def __init__(self, subscribed: _Optional[_Union[Subscribed, _Mapping]] = ..., event: _Optional[_Union[_envelope_pb2.Envelope, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ...) -> None: ...

class Subscribed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gap(_message.Message):
    __slots__ = ("since", "until", "reason")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    since: int
    until: int
    reason: str
    def __init__(self, since: _Optional[int] = ..., until: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class LinkRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ClientItem]
    def __init__(self, items: _Optional[_Iterable[_Union[ClientItem, _Mapping]]] = ...) -> None: ...

class ClientItem(_message.Message):
    __slots__ = ("hello", "register", "unregister", "event", "request", "answer", "probe", "ping", "drain", "find_responders", "release", "send_trail", "find_trail", "mail", "agenda")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    UNREGISTER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    FIND_RESPONDERS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SEND_TRAIL_FIELD_NUMBER: _ClassVar[int]
    FIND_TRAIL_FIELD_NUMBER: _ClassVar[int]
    MAIL_FIELD_NUMBER: _ClassVar[int]
    AGENDA_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    register: Register
    unregister: Unregister
    event: SendEvent
    request: SendRequest
    answer: SendAnswer
    probe: Probe
    ping: Ping
    drain: Drain
    find_responders: FindResponders
    release: Release
    send_trail: SendTrail
    find_trail: FindTrail
    mail: _durable_pb2.MailRequest
    agenda: _agenda_pb2.AgendaRequest
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., register: _Optional[_Union[Register, _Mapping]] = ..., unregister: _Optional[_Union[Unregister, _Mapping]] = ..., event: _Optional[_Union[SendEvent, _Mapping]] = ..., request: _Optional[_Union[SendRequest, _Mapping]] = ..., answer: _Optional[_Union[SendAnswer, _Mapping]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., find_responders: _Optional[_Union[FindResponders, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., send_trail: _Optional[_Union[SendTrail, _Mapping]] = ..., find_trail: _Optional[_Union[FindTrail, _Mapping]] = ..., mail: _Optional[_Union[_durable_pb2.MailRequest, _Mapping]] = ..., agenda: _Optional[_Union[_agenda_pb2.AgendaRequest, _Mapping]] = ...) -> None: ...

class LinkResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GatewayItem]
    def __init__(self, items: _Optional[_Iterable[_Union[GatewayItem, _Mapping]]] = ...) -> None: ...

class GatewayItem(_message.Message):
    __slots__ = ("welcome", "done", "dispatched", "delivery", "probed", "pong", "gap", "broker", "drain", "observing", "responders", "trail_found", "mail", "wake", "agenda")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    DISPATCHED_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    PROBED_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    BROKER_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    OBSERVING_FIELD_NUMBER: _ClassVar[int]
    RESPONDERS_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FOUND_FIELD_NUMBER: _ClassVar[int]
    MAIL_FIELD_NUMBER: _ClassVar[int]
    WAKE_FIELD_NUMBER: _ClassVar[int]
    AGENDA_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    done: Done
    dispatched: Dispatched
    delivery: Delivery
    probed: Probed
    pong: Pong
    gap: Gap
    broker: BrokerState
    drain: Drain
    observing: Observing
    responders: Responders
    trail_found: TrailFound
    mail: _durable_pb2.MailResponse
    wake: _durable_pb2.Wake
    agenda: _agenda_pb2.AgendaResponse
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., dispatched: _Optional[_Union[Dispatched, _Mapping]] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., probed: _Optional[_Union[Probed, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., broker: _Optional[_Union[BrokerState, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., observing: _Optional[_Union[Observing, _Mapping]] = ..., responders: _Optional[_Union[Responders, _Mapping]] = ..., trail_found: _Optional[_Union[TrailFound, _Mapping]] = ..., mail: _Optional[_Union[_durable_pb2.MailResponse, _Mapping]] = ..., wake: _Optional[_Union[_durable_pb2.Wake, _Mapping]] = ..., agenda: _Optional[_Union[_agenda_pb2.AgendaResponse, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("service", "client", "moves")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    service: str
    client: str
    moves: bool
    def __init__(self, service: _Optional[str] = ..., client: _Optional[str] = ..., moves: bool = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("instance", "time")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    instance: str
    time: int
    def __init__(self, instance: _Optional[str] = ..., time: _Optional[int] = ...) -> None: ...

class Interest(_message.Message):
    __slots__ = ("route", "pattern", "group")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    route: Route
    pattern: str
    group: str
    def __init__(self, route: _Optional[_Union[Route, str]] = ..., pattern: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("ref", "interests")
    REF_FIELD_NUMBER: _ClassVar[int]
    INTERESTS_FIELD_NUMBER: _ClassVar[int]
    ref: int
    interests: _containers.RepeatedCompositeFieldContainer[Interest]
    def __init__(self, ref: _Optional[int] = ..., interests: _Optional[_Iterable[_Union[Interest, _Mapping]]] = ...) -> None: ...

class Unregister(_message.Message):
    __slots__ = ("ref", "interests")
    REF_FIELD_NUMBER: _ClassVar[int]
    INTERESTS_FIELD_NUMBER: _ClassVar[int]
    ref: int
    interests: _containers.RepeatedCompositeFieldContainer[Interest]
    def __init__(self, ref: _Optional[int] = ..., interests: _Optional[_Iterable[_Union[Interest, _Mapping]]] = ...) -> None: ...

class SendEvent(_message.Message):
    __slots__ = ("ref", "envelope", "served")
    REF_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    ref: int
    envelope: bytes
    served: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ref: _Optional[int] = ..., envelope: _Optional[bytes] = ..., served: _Optional[_Iterable[str]] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ("envelope", "avoid", "to")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    AVOID_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    avoid: str
    to: str
    def __init__(self, envelope: _Optional[bytes] = ..., avoid: _Optional[str] = ..., to: _Optional[str] = ...) -> None: ...

class SendAnswer(_message.Message):
    __slots__ = ("to", "envelope")
    TO_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    to: str
    envelope: bytes
    def __init__(self, to: _Optional[str] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("ref", "instances")
    REF_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    ref: int
    instances: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ref: _Optional[int] = ..., instances: _Optional[_Iterable[str]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: int
    def __init__(self, ref: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: int
    def __init__(self, ref: _Optional[int] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("ref", "error")
    REF_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ref: int
    error: _envelope_pb2.Error
    def __init__(self, ref: _Optional[int] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ...) -> None: ...

class Dispatched(_message.Message):
    __slots__ = ("call_id", "instance", "error", "joined_until")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    JOINED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    call_id: bytes
    instance: str
    error: _envelope_pb2.Error
    joined_until: int
    def __init__(self, call_id: _Optional[bytes] = ..., instance: _Optional[str] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., joined_until: _Optional[int] = ...) -> None: ...

class FindResponders(_message.Message):
    __slots__ = ("ref", "topic")
    REF_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    ref: int
    topic: str
    def __init__(self, ref: _Optional[int] = ..., topic: _Optional[str] = ...) -> None: ...

class Responders(_message.Message):
    __slots__ = ("ref", "responders", "error")
    REF_FIELD_NUMBER: _ClassVar[int]
    RESPONDERS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ref: int
    responders: _containers.RepeatedCompositeFieldContainer[Responder]
    error: _envelope_pb2.Error
    def __init__(self, ref: _Optional[int] = ..., responders: _Optional[_Iterable[_Union[Responder, _Mapping]]] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("request", "error")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    error: _envelope_pb2.Error
    def __init__(self, request: _Optional[bytes] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ...) -> None: ...

class SendTrail(_message.Message):
    __slots__ = ("correlation_id", "trail")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    trail: bytes
    def __init__(self, correlation_id: _Optional[str] = ..., trail: _Optional[bytes] = ...) -> None: ...

class FindTrail(_message.Message):
    __slots__ = ("ref", "correlation_id")
    REF_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    ref: int
    correlation_id: str
    def __init__(self, ref: _Optional[int] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class TrailFound(_message.Message):
    __slots__ = ("ref", "trail", "error")
    REF_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ref: int
    trail: bytes
    error: _envelope_pb2.Error
    def __init__(self, ref: _Optional[int] = ..., trail: _Optional[bytes] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("interest", "envelope")
    INTEREST_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    interest: Interest
    envelope: bytes
    def __init__(self, interest: _Optional[_Union[Interest, _Mapping]] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Probed(_message.Message):
    __slots__ = ("ref", "silent", "expired", "error")
    REF_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ref: int
    silent: _containers.RepeatedScalarFieldContainer[str]
    expired: _containers.RepeatedScalarFieldContainer[str]
    error: _envelope_pb2.Error
    def __init__(self, ref: _Optional[int] = ..., silent: _Optional[_Iterable[str]] = ..., expired: _Optional[_Iterable[str]] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("ref", "time")
    REF_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ref: int
    time: int
    def __init__(self, ref: _Optional[int] = ..., time: _Optional[int] = ...) -> None: ...

class Observing(_message.Message):
    __slots__ = ("any",)
    ANY_FIELD_NUMBER: _ClassVar[int]
    any: bool
    def __init__(self, any: bool = ...) -> None: ...

class BrokerState(_message.Message):
    __slots__ = ("connected",)
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    connected: bool
    def __init__(self, connected: bool = ...) -> None: ...
