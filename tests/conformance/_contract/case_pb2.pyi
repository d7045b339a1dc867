from tests.conformance._contract import peer_pb2 as _peer_pb2
from tests.conformance._contract import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Vectors(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VECTORS_UNSPECIFIED: _ClassVar[Vectors]
    VECTORS_PAYLOADS: _ClassVar[Vectors]
    VECTORS_BAD_PAYLOADS: _ClassVar[Vectors]
    VECTORS_MATCHES: _ClassVar[Vectors]
    VECTORS_FINGERPRINTS: _ClassVar[Vectors]
    VECTORS_STORED_PAYLOADS: _ClassVar[Vectors]

class Feature(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_UNSPECIFIED: _ClassVar[Feature]
    FEATURE_REMOTE: _ClassVar[Feature]
    FEATURE_REDIS: _ClassVar[Feature]
    FEATURE_GATEWAY: _ClassVar[Feature]
    FEATURE_IN_PROCESS: _ClassVar[Feature]
    FEATURE_DURABLE: _ClassVar[Feature]
    FEATURE_CALLER_STORES_NOT: _ClassVar[Feature]
    FEATURE_RESPONDER_STORES_NOT: _ClassVar[Feature]
    FEATURE_HISTORY: _ClassVar[Feature]
    FEATURE_RECORDS_NOT: _ClassVar[Feature]

class Route(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_UNSPECIFIED: _ClassVar[Route]
    ROUTE_REQUEST: _ClassVar[Route]
    ROUTE_EVENT: _ClassVar[Route]
    ROUTE_GROUP: _ClassVar[Route]
    ROUTE_OBSERVER: _ClassVar[Route]

class Strike(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRIKE_UNSPECIFIED: _ClassVar[Strike]
    STRIKE_KILL_RESPONDER: _ClassVar[Strike]
    STRIKE_FREEZE_RESPONDER: _ClassVar[Strike]
    STRIKE_KILL_BROKER: _ClassVar[Strike]
    STRIKE_START_BROKER: _ClassVar[Strike]
VECTORS_UNSPECIFIED: Vectors
VECTORS_PAYLOADS: Vectors
VECTORS_BAD_PAYLOADS: Vectors
VECTORS_MATCHES: Vectors
VECTORS_FINGERPRINTS: Vectors
VECTORS_STORED_PAYLOADS: Vectors
FEATURE_UNSPECIFIED: Feature
FEATURE_REMOTE: Feature
FEATURE_REDIS: Feature
FEATURE_GATEWAY: Feature
FEATURE_IN_PROCESS: Feature
FEATURE_DURABLE: Feature
FEATURE_CALLER_STORES_NOT: Feature
FEATURE_RESPONDER_STORES_NOT: Feature
FEATURE_HISTORY: Feature
FEATURE_RECORDS_NOT: Feature
ROUTE_UNSPECIFIED: Route
ROUTE_REQUEST: Route
ROUTE_EVENT: Route
ROUTE_GROUP: Route
ROUTE_OBSERVER: Route
STRIKE_UNSPECIFIED: Strike
STRIKE_KILL_RESPONDER: Strike
STRIKE_FREEZE_RESPONDER: Strike
STRIKE_KILL_BROKER: Strike
STRIKE_START_BROKER: Strike

class Suite(_message.Message):
    __slots__ = ("name", "cases", "vectors")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    vectors: _containers.RepeatedScalarFieldContainer[Vectors]
    def __init__(self, name: _Optional[str] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., vectors: _Optional[_Iterable[_Union[Vectors, str]]] = ...) -> None: ...

class Case(_message.Message):
    __slots__ = ("id", "about", "needs", "alone", "steps")
    ID_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    id: str
    about: str
    needs: _containers.RepeatedScalarFieldContainer[Feature]
    alone: bool
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, id: _Optional[str] = ..., about: _Optional[str] = ..., needs: _Optional[_Iterable[_Union[Feature, str]]] = ..., alone: bool = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("on", "open", "close", "subscribe", "unsubscribe", "publish", "call", "give_up", "release", "stream", "read", "leave", "gather", "explain", "publish_many", "schedule", "cron", "metrics", "history", "replay", "end", "deliveries", "endings", "inner", "exchange", "burst", "ordered", "listen", "send", "heard", "strike", "expect", "begin", "at_responder")
    ON_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    GIVE_UP_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    GATHER_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_MANY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    ENDINGS_FIELD_NUMBER: _ClassVar[int]
    INNER_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    STRIKE_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    AT_RESPONDER_FIELD_NUMBER: _ClassVar[int]
    on: str
    open: _peer_pb2.Open
    close: _peer_pb2.Close
    subscribe: _peer_pb2.Subscribe
    unsubscribe: _peer_pb2.Unsubscribe
    publish: _peer_pb2.Publish
    call: _peer_pb2.Call
    give_up: GiveUp
    release: _peer_pb2.Release
    stream: _peer_pb2.Stream
    read: _peer_pb2.Read
    leave: _peer_pb2.Leave
    gather: _peer_pb2.Gather
    explain: _peer_pb2.Explain
    publish_many: _peer_pb2.PublishMany
    schedule: _peer_pb2.Schedule
    cron: _peer_pb2.Cron
    metrics: _peer_pb2.Metrics
    history: _peer_pb2.History
    replay: _peer_pb2.Replay
    end: End
    deliveries: Deliveries
    endings: Endings
    inner: InnerEnd
    exchange: Exchange
    burst: Burst
    ordered: Ordered
    listen: Listen
    send: Send
    heard: Heard
    strike: Strike
    expect: Expect
    begin: str
    at_responder: bool
    def __init__(self, on: _Optional[str] = ..., open: _Optional[_Union[_peer_pb2.Open, _Mapping]] = ..., close: _Optional[_Union[_peer_pb2.Close, _Mapping]] = ..., subscribe: _Optional[_Union[_peer_pb2.Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[_peer_pb2.Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[_peer_pb2.Publish, _Mapping]] = ..., call: _Optional[_Union[_peer_pb2.Call, _Mapping]] = ..., give_up: _Optional[_Union[GiveUp, _Mapping]] = ..., release: _Optional[_Union[_peer_pb2.Release, _Mapping]] = ..., stream: _Optional[_Union[_peer_pb2.Stream, _Mapping]] = ..., read: _Optional[_Union[_peer_pb2.Read, _Mapping]] = ..., leave: _Optional[_Union[_peer_pb2.Leave, _Mapping]] = ..., gather: _Optional[_Union[_peer_pb2.Gather, _Mapping]] = ..., explain: _Optional[_Union[_peer_pb2.Explain, _Mapping]] = ..., publish_many: _Optional[_Union[_peer_pb2.PublishMany, _Mapping]] = ..., schedule: _Optional[_Union[_peer_pb2.Schedule, _Mapping]] = ..., cron: _Optional[_Union[_peer_pb2.Cron, _Mapping]] = ..., metrics: _Optional[_Union[_peer_pb2.Metrics, _Mapping]] = ..., history: _Optional[_Union[_peer_pb2.History, _Mapping]] = ..., replay: _Optional[_Union[_peer_pb2.Replay, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., deliveries: _Optional[_Union[Deliveries, _Mapping]] = ..., endings: _Optional[_Union[Endings, _Mapping]] = ..., inner: _Optional[_Union[InnerEnd, _Mapping]] = ..., exchange: _Optional[_Union[Exchange, _Mapping]] = ..., burst: _Optional[_Union[Burst, _Mapping]] = ..., ordered: _Optional[_Union[Ordered, _Mapping]] = ..., listen: _Optional[_Union[Listen, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., heard: _Optional[_Union[Heard, _Mapping]] = ..., strike: _Optional[_Union[Strike, str]] = ..., expect: _Optional[_Union[Expect, _Mapping]] = ..., begin: _Optional[str] = ..., at_responder: bool = ...) -> None: ...

class Expect(_message.Message):
    __slots__ = ("value", "error", "receipt", "cancelled", "done", "items", "gathered", "explained", "receipts", "scheduled", "job", "rows", "replayed", "figures", "within_ms", "not_before_ms", "or_error")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GATHERED_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    OR_ERROR_FIELD_NUMBER: _ClassVar[int]
    value: _value_pb2.Value
    error: Failed
    receipt: _peer_pb2.Receipt
    cancelled: bool
    done: bool
    items: ItemsRead
    gathered: EverybodySaid
    explained: StepsTold
    receipts: _peer_pb2.Receipts
    scheduled: _peer_pb2.Scheduled
    job: _peer_pb2.Job
    rows: RowsTold
    replayed: _peer_pb2.Replayed
    figures: _peer_pb2.Figures
    within_ms: int
    not_before_ms: int
    or_error: Failed
    def __init__(self, value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., error: _Optional[_Union[Failed, _Mapping]] = ..., receipt: _Optional[_Union[_peer_pb2.Receipt, _Mapping]] = ..., cancelled: bool = ..., done: bool = ..., items: _Optional[_Union[ItemsRead, _Mapping]] = ..., gathered: _Optional[_Union[EverybodySaid, _Mapping]] = ..., explained: _Optional[_Union[StepsTold, _Mapping]] = ..., receipts: _Optional[_Union[_peer_pb2.Receipts, _Mapping]] = ..., scheduled: _Optional[_Union[_peer_pb2.Scheduled, _Mapping]] = ..., job: _Optional[_Union[_peer_pb2.Job, _Mapping]] = ..., rows: _Optional[_Union[RowsTold, _Mapping]] = ..., replayed: _Optional[_Union[_peer_pb2.Replayed, _Mapping]] = ..., figures: _Optional[_Union[_peer_pb2.Figures, _Mapping]] = ..., within_ms: _Optional[int] = ..., not_before_ms: _Optional[int] = ..., or_error: _Optional[_Union[Failed, _Mapping]] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("code", "outcome", "retryable", "from_wire", "type", "message", "says", "details", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    FROM_WIRE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    outcome: str
    retryable: bool
    from_wire: bool
    type: str
    message: str
    says: str
    details: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    retry_after_ms: Range
    def __init__(self, code: _Optional[str] = ..., outcome: _Optional[str] = ..., retryable: bool = ..., from_wire: bool = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., says: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., retry_after_ms: _Optional[_Union[Range, _Mapping]] = ...) -> None: ...

class ItemsRead(_message.Message):
    __slots__ = ("values", "upto", "since", "ended", "error")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    UPTO_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    upto: int
    since: int
    ended: bool
    error: Failed
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., upto: _Optional[int] = ..., since: _Optional[int] = ..., ended: bool = ..., error: _Optional[_Union[Failed, _Mapping]] = ...) -> None: ...

class RowsTold(_message.Message):
    __slots__ = ("rows", "any_order", "cursor", "total", "deleted", "recorders")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ANY_ORDER_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    RECORDERS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[RowTold]
    any_order: bool
    cursor: str
    total: int
    deleted: int
    recorders: _peer_pb2.Recorders
    def __init__(self, rows: _Optional[_Iterable[_Union[RowTold, _Mapping]]] = ..., any_order: bool = ..., cursor: _Optional[str] = ..., total: _Optional[int] = ..., deleted: _Optional[int] = ..., recorders: _Optional[_Union[_peer_pb2.Recorders, _Mapping]] = ...) -> None: ...

class RowTold(_message.Message):
    __slots__ = ("id", "topic", "status", "key", "source", "correlation_id", "causation_id", "time", "expires", "retries", "error", "content_type", "schema_version", "priority", "hops", "headers", "data", "stored")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    id: str
    topic: str
    status: str
    key: str
    source: str
    correlation_id: str
    causation_id: str
    time: str
    expires: bool
    retries: int
    error: str
    content_type: str
    schema_version: str
    priority: int
    hops: int
    headers: Headers
    data: _value_pb2.Value
    stored: bool
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., status: _Optional[str] = ..., key: _Optional[str] = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., time: _Optional[str] = ..., expires: bool = ..., retries: _Optional[int] = ..., error: _Optional[str] = ..., content_type: _Optional[str] = ..., schema_version: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., headers: _Optional[_Union[Headers, _Mapping]] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., stored: bool = ...) -> None: ...

class EverybodySaid(_message.Message):
    __slots__ = ("replies", "errors", "missing")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[Said]
    errors: _containers.RepeatedCompositeFieldContainer[Said]
    missing: _containers.RepeatedCompositeFieldContainer[Said]
    def __init__(self, replies: _Optional[_Iterable[_Union[Said, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[Said, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[Said, _Mapping]]] = ...) -> None: ...

class Said(_message.Message):
    __slots__ = ("service", "instance", "group", "value", "error")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance: str
    group: str
    value: _value_pb2.Value
    error: Failed
    def __init__(self, service: _Optional[str] = ..., instance: _Optional[str] = ..., group: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., error: _Optional[_Union[Failed, _Mapping]] = ...) -> None: ...

class StepsTold(_message.Message):
    __slots__ = ("steps", "none")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[StepTold]
    none: bool
    def __init__(self, steps: _Optional[_Iterable[_Union[StepTold, _Mapping]]] = ..., none: bool = ...) -> None: ...

class StepTold(_message.Message):
    __slots__ = ("name", "source", "topic", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    topic: str
    detail: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., topic: _Optional[str] = ..., detail: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("least", "most")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    least: float
    most: float
    def __init__(self, least: _Optional[float] = ..., most: _Optional[float] = ...) -> None: ...

class GiveUp(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: str
    def __init__(self, call: _Optional[str] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: str
    def __init__(self, call: _Optional[str] = ...) -> None: ...

class Deliveries(_message.Message):
    __slots__ = ("at", "got", "any_order", "count", "each", "more", "favoured")
    AT_FIELD_NUMBER: _ClassVar[int]
    GOT_FIELD_NUMBER: _ClassVar[int]
    ANY_ORDER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EACH_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    FAVOURED_FIELD_NUMBER: _ClassVar[int]
    at: _containers.RepeatedScalarFieldContainer[str]
    got: _containers.RepeatedCompositeFieldContainer[Got]
    any_order: bool
    count: int
    each: int
    more: bool
    favoured: _containers.RepeatedCompositeFieldContainer[Favoured]
    def __init__(self, at: _Optional[_Iterable[str]] = ..., got: _Optional[_Iterable[_Union[Got, _Mapping]]] = ..., any_order: bool = ..., count: _Optional[int] = ..., each: _Optional[int] = ..., more: bool = ..., favoured: _Optional[_Iterable[_Union[Favoured, _Mapping]]] = ...) -> None: ...

class Favoured(_message.Message):
    __slots__ = ("priority", "first", "least", "most")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    priority: int
    first: int
    least: int
    most: int
    def __init__(self, priority: _Optional[int] = ..., first: _Optional[int] = ..., least: _Optional[int] = ..., most: _Optional[int] = ...) -> None: ...

class Got(_message.Message):
    __slots__ = ("value", "values", "id", "topic", "is_request", "source", "correlation_id", "causation_id", "headers", "content_type", "schema_version", "key", "priority", "hops", "attempt", "group", "data", "remaining_ms", "replay")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    IS_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    value: _value_pb2.Value
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    id: str
    topic: str
    is_request: bool
    source: str
    correlation_id: str
    causation_id: str
    headers: Headers
    content_type: str
    schema_version: str
    key: str
    priority: int
    hops: int
    attempt: int
    group: str
    data: str
    remaining_ms: Range
    replay: str
    def __init__(self, value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., id: _Optional[str] = ..., topic: _Optional[str] = ..., is_request: bool = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., headers: _Optional[_Union[Headers, _Mapping]] = ..., content_type: _Optional[str] = ..., schema_version: _Optional[str] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., attempt: _Optional[int] = ..., group: _Optional[str] = ..., data: _Optional[str] = ..., remaining_ms: _Optional[_Union[Range, _Mapping]] = ..., replay: _Optional[str] = ...) -> None: ...

class Headers(_message.Message):
    __slots__ = ("all",)
    class AllEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ALL_FIELD_NUMBER: _ClassVar[int]
    all: _containers.ScalarMap[str, str]
    def __init__(self, all: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Endings(_message.Message):
    __slots__ = ("at", "how", "within_ms", "items")
    AT_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    at: _containers.RepeatedScalarFieldContainer[str]
    how: _containers.RepeatedScalarFieldContainer[_peer_pb2.How]
    within_ms: int
    items: Range
    def __init__(self, at: _Optional[_Iterable[str]] = ..., how: _Optional[_Iterable[_Union[_peer_pb2.How, str]]] = ..., within_ms: _Optional[int] = ..., items: _Optional[_Union[Range, _Mapping]] = ...) -> None: ...

class Burst(_message.Message):
    __slots__ = ("topic", "keys", "each", "priorities")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    EACH_FIELD_NUMBER: _ClassVar[int]
    PRIORITIES_FIELD_NUMBER: _ClassVar[int]
    topic: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    each: int
    priorities: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., each: _Optional[int] = ..., priorities: _Optional[_Iterable[int]] = ...) -> None: ...

class Ordered(_message.Message):
    __slots__ = ("at", "returned", "within_ms")
    AT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    at: _containers.RepeatedScalarFieldContainer[str]
    returned: int
    within_ms: int
    def __init__(self, at: _Optional[_Iterable[str]] = ..., returned: _Optional[int] = ..., within_ms: _Optional[int] = ...) -> None: ...

class InnerEnd(_message.Message):
    __slots__ = ("at",)
    AT_FIELD_NUMBER: _ClassVar[int]
    at: str
    def __init__(self, at: _Optional[str] = ...) -> None: ...

class Exchange(_message.Message):
    __slots__ = ("value", "content_type", "wire", "integral_wire", "reply_wire", "reply_type")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    WIRE_FIELD_NUMBER: _ClassVar[int]
    INTEGRAL_WIRE_FIELD_NUMBER: _ClassVar[int]
    REPLY_WIRE_FIELD_NUMBER: _ClassVar[int]
    REPLY_TYPE_FIELD_NUMBER: _ClassVar[int]
    value: _value_pb2.Value
    content_type: str
    wire: str
    integral_wire: str
    reply_wire: str
    reply_type: str
    def __init__(self, value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., content_type: _Optional[str] = ..., wire: _Optional[str] = ..., integral_wire: _Optional[str] = ..., reply_wire: _Optional[str] = ..., reply_type: _Optional[str] = ...) -> None: ...

class Listen(_message.Message):
    __slots__ = ("id", "route", "topic", "group")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    id: str
    route: Route
    topic: str
    group: str
    def __init__(self, id: _Optional[str] = ..., route: _Optional[_Union[Route, str]] = ..., topic: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("event", "request", "answer", "garbage", "unasked", "to")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    GARBAGE_FIELD_NUMBER: _ClassVar[int]
    UNASKED_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    event: Letter
    request: Letter
    answer: Letter
    garbage: str
    unasked: Letter
    to: str
    def __init__(self, event: _Optional[_Union[Letter, _Mapping]] = ..., request: _Optional[_Union[Letter, _Mapping]] = ..., answer: _Optional[_Union[Letter, _Mapping]] = ..., garbage: _Optional[str] = ..., unasked: _Optional[_Union[Letter, _Mapping]] = ..., to: _Optional[str] = ...) -> None: ...

class Letter(_message.Message):
    __slots__ = ("kind", "topic", "data", "content_type", "headers", "schema_version", "key", "priority", "hops", "ttl_ms", "expires_in_ms", "id", "source", "correlation_id", "causation_id", "idempotency_key", "call_id", "idempotent", "error", "extra", "no_error", "reply_to", "data_times", "fingerprint", "group", "stream", "no_stream")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_MS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    NO_ERROR_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    DATA_TIMES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    NO_STREAM_FIELD_NUMBER: _ClassVar[int]
    kind: int
    topic: str
    data: str
    content_type: str
    headers: Headers
    schema_version: str
    key: str
    priority: int
    hops: int
    ttl_ms: int
    expires_in_ms: int
    id: str
    source: str
    correlation_id: str
    causation_id: str
    idempotency_key: str
    call_id: str
    idempotent: bool
    error: Wrong
    extra: str
    no_error: bool
    reply_to: str
    data_times: int
    fingerprint: str
    group: str
    stream: Position
    no_stream: bool
    def __init__(self, kind: _Optional[int] = ..., topic: _Optional[str] = ..., data: _Optional[str] = ..., content_type: _Optional[str] = ..., headers: _Optional[_Union[Headers, _Mapping]] = ..., schema_version: _Optional[str] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., expires_in_ms: _Optional[int] = ..., id: _Optional[str] = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., call_id: _Optional[str] = ..., idempotent: bool = ..., error: _Optional[_Union[Wrong, _Mapping]] = ..., extra: _Optional[str] = ..., no_error: bool = ..., reply_to: _Optional[str] = ..., data_times: _Optional[int] = ..., fingerprint: _Optional[str] = ..., group: _Optional[str] = ..., stream: _Optional[_Union[Position, _Mapping]] = ..., no_stream: bool = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("sequence", "consumed", "window")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    consumed: int
    window: int
    def __init__(self, sequence: _Optional[int] = ..., consumed: _Optional[int] = ..., window: _Optional[int] = ...) -> None: ...

class Wrong(_message.Message):
    __slots__ = ("code", "message", "details", "outcome", "type", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: str
    outcome: int
    type: str
    retry_after_ms: int
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[str] = ..., outcome: _Optional[int] = ..., type: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Heard(_message.Message):
    __slots__ = ("by", "letters", "more", "count")
    BY_FIELD_NUMBER: _ClassVar[int]
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    by: str
    letters: _containers.RepeatedCompositeFieldContainer[Letter]
    more: bool
    count: int
    def __init__(self, by: _Optional[str] = ..., letters: _Optional[_Iterable[_Union[Letter, _Mapping]]] = ..., more: bool = ..., count: _Optional[int] = ...) -> None: ...
