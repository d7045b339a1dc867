from tests.conformance._contract import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Streaming(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAMING_UNSPECIFIED: _ClassVar[Streaming]
    STREAMING_GENERATOR: _ClassVar[Streaming]
    STREAMING_RETURNED: _ClassVar[Streaming]
    STREAMING_SYNCHRONOUS: _ClassVar[Streaming]

class ScheduleAct(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_ACT_UNSPECIFIED: _ClassVar[ScheduleAct]
    SCHEDULE_ACT_GET: _ClassVar[ScheduleAct]
    SCHEDULE_ACT_CANCEL: _ClassVar[ScheduleAct]
    SCHEDULE_ACT_RESCHEDULE: _ClassVar[ScheduleAct]
    SCHEDULE_ACT_RETRY: _ClassVar[ScheduleAct]

class CronAct(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CRON_ACT_UNSPECIFIED: _ClassVar[CronAct]
    CRON_ACT_CREATE: _ClassVar[CronAct]
    CRON_ACT_UPDATE: _ClassVar[CronAct]
    CRON_ACT_GET: _ClassVar[CronAct]
    CRON_ACT_PAUSE: _ClassVar[CronAct]
    CRON_ACT_RESUME: _ClassVar[CronAct]
    CRON_ACT_RUN_NOW: _ClassVar[CronAct]
    CRON_ACT_DELETE: _ClassVar[CronAct]

class HistoryAct(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HISTORY_ACT_UNSPECIFIED: _ClassVar[HistoryAct]
    HISTORY_ACT_LIST: _ClassVar[HistoryAct]
    HISTORY_ACT_GET: _ClassVar[HistoryAct]
    HISTORY_ACT_DELETE: _ClassVar[HistoryAct]
    HISTORY_ACT_FIGURES: _ClassVar[HistoryAct]

class How(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOW_UNSPECIFIED: _ClassVar[How]
    HOW_RETURNED: _ClassVar[How]
    HOW_RAISED: _ClassVar[How]
    HOW_CANCELLED: _ClassVar[How]
STREAMING_UNSPECIFIED: Streaming
STREAMING_GENERATOR: Streaming
STREAMING_RETURNED: Streaming
STREAMING_SYNCHRONOUS: Streaming
SCHEDULE_ACT_UNSPECIFIED: ScheduleAct
SCHEDULE_ACT_GET: ScheduleAct
SCHEDULE_ACT_CANCEL: ScheduleAct
SCHEDULE_ACT_RESCHEDULE: ScheduleAct
SCHEDULE_ACT_RETRY: ScheduleAct
CRON_ACT_UNSPECIFIED: CronAct
CRON_ACT_CREATE: CronAct
CRON_ACT_UPDATE: CronAct
CRON_ACT_GET: CronAct
CRON_ACT_PAUSE: CronAct
CRON_ACT_RESUME: CronAct
CRON_ACT_RUN_NOW: CronAct
CRON_ACT_DELETE: CronAct
HISTORY_ACT_UNSPECIFIED: HistoryAct
HISTORY_ACT_LIST: HistoryAct
HISTORY_ACT_GET: HistoryAct
HISTORY_ACT_DELETE: HistoryAct
HISTORY_ACT_FIGURES: HistoryAct
HOW_UNSPECIFIED: How
HOW_RETURNED: How
HOW_RAISED: How
HOW_CANCELLED: How

class Command(_message.Message):
    __slots__ = ("number", "system", "open", "close", "subscribe", "unsubscribe", "publish", "call", "cancel", "release", "stream", "read", "leave", "gather", "explain", "publish_many", "schedule", "cron", "history", "replay", "metrics")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    GATHER_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_MANY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    number: int
    system: str
    open: Open
    close: Close
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    publish: Publish
    call: Call
    cancel: Cancel
    release: Release
    stream: Stream
    read: Read
    leave: Leave
    gather: Gather
    explain: Explain
    publish_many: PublishMany
    schedule: Schedule
    cron: Cron
    history: History
    replay: Replay
    metrics: Metrics
    def __init__(self, number: _Optional[int] = ..., system: _Optional[str] = ..., open: _Optional[_Union[Open, _Mapping]] = ..., close: _Optional[_Union[Close, _Mapping]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., stream: _Optional[_Union[Stream, _Mapping]] = ..., read: _Optional[_Union[Read, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ..., gather: _Optional[_Union[Gather, _Mapping]] = ..., explain: _Optional[_Union[Explain, _Mapping]] = ..., publish_many: _Optional[_Union[PublishMany, _Mapping]] = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ..., cron: _Optional[_Union[Cron, _Mapping]] = ..., history: _Optional[_Union[History, _Mapping]] = ..., replay: _Optional[_Union[Replay, _Mapping]] = ..., metrics: _Optional[_Union[Metrics, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("url", "service", "namespace", "settings", "record", "record_topics")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    RECORD_TOPICS_FIELD_NUMBER: _ClassVar[int]
    url: str
    service: str
    namespace: str
    settings: _containers.ScalarMap[str, int]
    record: str
    record_topics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, url: _Optional[str] = ..., service: _Optional[str] = ..., namespace: _Optional[str] = ..., settings: _Optional[_Mapping[str, int]] = ..., record: _Optional[str] = ..., record_topics: _Optional[_Iterable[str]] = ...) -> None: ...

class Close(_message.Message):
    __slots__ = ("drain_ms",)
    DRAIN_MS_FIELD_NUMBER: _ClassVar[int]
    drain_ms: int
    def __init__(self, drain_ms: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("id", "topic", "group", "observe", "filter", "batch", "concurrency", "queue", "handler", "streaming", "schema_version", "upcasters", "durable", "handling", "replays")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    STREAMING_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPCASTERS_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    HANDLING_FIELD_NUMBER: _ClassVar[int]
    REPLAYS_FIELD_NUMBER: _ClassVar[int]
    id: str
    topic: str
    group: str
    observe: bool
    filter: Filter
    batch: Batch
    concurrency: int
    queue: int
    handler: _containers.RepeatedCompositeFieldContainer[Action]
    streaming: Streaming
    schema_version: str
    upcasters: _containers.RepeatedCompositeFieldContainer[Upcaster]
    durable: bool
    handling: Handling
    replays: bool
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., group: _Optional[str] = ..., observe: bool = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., concurrency: _Optional[int] = ..., queue: _Optional[int] = ..., handler: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., streaming: _Optional[_Union[Streaming, str]] = ..., schema_version: _Optional[str] = ..., upcasters: _Optional[_Iterable[_Union[Upcaster, _Mapping]]] = ..., durable: bool = ..., handling: _Optional[_Union[Handling, _Mapping]] = ..., replays: bool = ...) -> None: ...

class Handling(_message.Message):
    __slots__ = ("start", "retry", "timeout_ms", "on_poison")
    START_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    ON_POISON_FIELD_NUMBER: _ClassVar[int]
    start: str
    retry: RetryPolicy
    timeout_ms: float
    on_poison: str
    def __init__(self, start: _Optional[str] = ..., retry: _Optional[_Union[RetryPolicy, _Mapping]] = ..., timeout_ms: _Optional[float] = ..., on_poison: _Optional[str] = ...) -> None: ...

class RetryPolicy(_message.Message):
    __slots__ = ("max_attempts", "backoff_ms", "cap_ms", "jitter")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_FIELD_NUMBER: _ClassVar[int]
    CAP_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    backoff_ms: float
    cap_ms: float
    jitter: bool
    def __init__(self, max_attempts: _Optional[int] = ..., backoff_ms: _Optional[float] = ..., cap_ms: _Optional[float] = ..., jitter: bool = ...) -> None: ...

class Upcaster(_message.Message):
    __slots__ = ("since", "to", "entry", "raises")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    RAISES_FIELD_NUMBER: _ClassVar[int]
    since: str
    to: str
    entry: _value_pb2.Value
    raises: bool
    def __init__(self, since: _Optional[str] = ..., to: _Optional[str] = ..., entry: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., raises: bool = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("equals", "raises")
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    RAISES_FIELD_NUMBER: _ClassVar[int]
    equals: _value_pb2.Value
    raises: bool
    def __init__(self, equals: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., raises: bool = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("size", "ms")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MS_FIELD_NUMBER: _ClassVar[int]
    size: int
    ms: float
    def __init__(self, size: _Optional[int] = ..., ms: _Optional[float] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("echo", "reply", "hold", "publish", "call", "remaining", "item", "numbers", "stream", "ack", "nack", "reject", "extend", "when")
    ECHO_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    RAISE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    PASS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    echo: bool
    reply: _value_pb2.Value
    hold: Hold
    publish: Publish
    call: Call
    remaining: bool
    item: _value_pb2.Value
    numbers: int
    stream: Stream
    ack: bool
    nack: Nack
    reject: str
    extend: bool
    when: _value_pb2.Value
    def __init__(self, echo: bool = ..., reply: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., hold: _Optional[_Union[Hold, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., remaining: bool = ..., item: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., numbers: _Optional[int] = ..., stream: _Optional[_Union[Stream, _Mapping]] = ..., ack: bool = ..., nack: _Optional[_Union[Nack, _Mapping]] = ..., reject: _Optional[str] = ..., extend: bool = ..., when: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., **kwargs) -> None: ...

class Nack(_message.Message):
    __slots__ = ("delay_ms", "runs")
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    delay_ms: float
    runs: int
    def __init__(self, delay_ms: _Optional[float] = ..., runs: _Optional[int] = ...) -> None: ...

class Raise(_message.Message):
    __slots__ = ("code", "message", "details", "runs")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    details: _value_pb2.Value
    runs: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., runs: _Optional[int] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("stubborn",)
    STUBBORN_FIELD_NUMBER: _ClassVar[int]
    stubborn: bool
    def __init__(self, stubborn: bool = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("ttl_ms", "headers", "content_type", "schema_version", "correlation_id", "wait_for_connection_ms", "more_headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_CONNECTION_MS_FIELD_NUMBER: _ClassVar[int]
    MORE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: float
    headers: _containers.ScalarMap[str, str]
    content_type: str
    schema_version: str
    correlation_id: str
    wait_for_connection_ms: int
    more_headers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, ttl_ms: _Optional[float] = ..., headers: _Optional[_Mapping[str, str]] = ..., content_type: _Optional[str] = ..., schema_version: _Optional[str] = ..., correlation_id: _Optional[str] = ..., wait_for_connection_ms: _Optional[int] = ..., more_headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Publish(_message.Message):
    __slots__ = ("topic", "data", "options", "wait_local", "key", "durable", "priority", "dedupe", "max_stored", "wait_replicas", "delay_ms", "at_ms", "retry")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    WAIT_LOCAL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_FIELD_NUMBER: _ClassVar[int]
    MAX_STORED_FIELD_NUMBER: _ClassVar[int]
    WAIT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: _value_pb2.Value
    options: Options
    wait_local: bool
    key: str
    durable: bool
    priority: int
    dedupe: str
    max_stored: int
    wait_replicas: int
    delay_ms: float
    at_ms: float
    retry: RetryPolicy
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., wait_local: bool = ..., key: _Optional[str] = ..., durable: bool = ..., priority: _Optional[int] = ..., dedupe: _Optional[str] = ..., max_stored: _Optional[int] = ..., wait_replicas: _Optional[int] = ..., delay_ms: _Optional[float] = ..., at_ms: _Optional[float] = ..., retry: _Optional[_Union[RetryPolicy, _Mapping]] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("id", "act", "delay_ms", "at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    act: ScheduleAct
    delay_ms: float
    at_ms: float
    def __init__(self, id: _Optional[str] = ..., act: _Optional[_Union[ScheduleAct, str]] = ..., delay_ms: _Optional[float] = ..., at_ms: _Optional[float] = ...) -> None: ...

class Cron(_message.Message):
    __slots__ = ("name", "act", "expression", "topic", "data", "call", "key", "zone", "retries", "retry_delay_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    act: CronAct
    expression: str
    topic: str
    data: _value_pb2.Value
    call: bool
    key: str
    zone: str
    retries: int
    retry_delay_ms: float
    def __init__(self, name: _Optional[str] = ..., act: _Optional[_Union[CronAct, str]] = ..., expression: _Optional[str] = ..., topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., call: bool = ..., key: _Optional[str] = ..., zone: _Optional[str] = ..., retries: _Optional[int] = ..., retry_delay_ms: _Optional[float] = ...) -> None: ...

class History(_message.Message):
    __slots__ = ("act", "ids", "selection", "page", "cursor", "limit", "oldest_first")
    ACT_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    act: HistoryAct
    ids: _containers.RepeatedScalarFieldContainer[str]
    selection: Selection
    page: int
    cursor: str
    limit: int
    oldest_first: bool
    def __init__(self, act: _Optional[_Union[HistoryAct, str]] = ..., ids: _Optional[_Iterable[str]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., page: _Optional[int] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ..., oldest_first: bool = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("types", "start", "end", "status", "source")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedScalarFieldContainer[str]
    start: str
    end: str
    status: str
    source: str
    def __init__(self, types: _Optional[_Iterable[str]] = ..., start: _Optional[str] = ..., end: _Optional[str] = ..., status: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Replay(_message.Message):
    __slots__ = ("id", "selection", "to_group", "to_topic", "speed", "wait")
    ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    TO_GROUP_FIELD_NUMBER: _ClassVar[int]
    TO_TOPIC_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    selection: Selection
    to_group: str
    to_topic: str
    speed: float
    wait: bool
    def __init__(self, id: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., to_group: _Optional[str] = ..., to_topic: _Optional[str] = ..., speed: _Optional[float] = ..., wait: bool = ...) -> None: ...

class PublishMany(_message.Message):
    __slots__ = ("topic", "items", "options", "max_stored")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_STORED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    options: Options
    max_stored: int
    def __init__(self, topic: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., max_stored: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("data", "key", "priority", "dedupe", "headers", "numbers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    data: _value_pb2.Value
    key: str
    priority: int
    dedupe: str
    headers: _containers.ScalarMap[str, str]
    numbers: int
    def __init__(self, data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., dedupe: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., numbers: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("topic", "data", "options", "idempotent", "wait_for_responders_ms", "idempotency_key", "retry")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_RESPONDERS_MS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: _value_pb2.Value
    options: Options
    idempotent: bool
    wait_for_responders_ms: int
    idempotency_key: str
    retry: Retry
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., idempotent: bool = ..., wait_for_responders_ms: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("attempts", "base_ms", "cap_ms", "always")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BASE_MS_FIELD_NUMBER: _ClassVar[int]
    CAP_MS_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    base_ms: float
    cap_ms: float
    always: bool
    def __init__(self, attempts: _Optional[int] = ..., base_ms: _Optional[float] = ..., cap_ms: _Optional[float] = ..., always: bool = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("id", "topic", "data", "options", "idempotent", "wait_for_responders_ms", "total_ms", "window")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_RESPONDERS_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    id: str
    topic: str
    data: _value_pb2.Value
    options: Options
    idempotent: bool
    wait_for_responders_ms: int
    total_ms: float
    window: int
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., idempotent: bool = ..., wait_for_responders_ms: _Optional[int] = ..., total_ms: _Optional[float] = ..., window: _Optional[int] = ...) -> None: ...

class Read(_message.Message):
    __slots__ = ("id", "count")
    ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    count: int
    def __init__(self, id: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Gather(_message.Message):
    __slots__ = ("topic", "data", "options", "max_replies", "every_instance")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLIES_FIELD_NUMBER: _ClassVar[int]
    EVERY_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    topic: str
    data: _value_pb2.Value
    options: Options
    max_replies: int
    every_instance: bool
    def __init__(self, topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., max_replies: _Optional[int] = ..., every_instance: bool = ...) -> None: ...

class Explain(_message.Message):
    __slots__ = ("correlation_id",)
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    def __init__(self, correlation_id: _Optional[str] = ...) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: str
    def __init__(self, topic: _Optional[str] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: int
    def __init__(self, call: _Optional[int] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("id", "count")
    ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    count: int
    def __init__(self, id: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("hello", "answer", "delivered", "ended", "inner")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    INNER_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    answer: Answer
    delivered: Delivered
    ended: Ended
    inner: Inner
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., delivered: _Optional[_Union[Delivered, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ..., inner: _Optional[_Union[Inner, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("language",)
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    language: str
    def __init__(self, language: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("number", "done", "value", "receipt", "opened", "failure", "items", "gathered", "explanation", "receipts", "scheduled", "job", "recorded", "replayed", "figures")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GATHERED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    number: int
    done: bool
    value: _value_pb2.Value
    receipt: Receipt
    opened: Opened
    failure: Failure
    items: Items
    gathered: Gathered
    explanation: Explanation
    receipts: Receipts
    scheduled: Scheduled
    job: Job
    recorded: Recorded
    replayed: Replayed
    figures: Figures
    def __init__(self, number: _Optional[int] = ..., done: bool = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., items: _Optional[_Union[Items, _Mapping]] = ..., gathered: _Optional[_Union[Gathered, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., receipts: _Optional[_Union[Receipts, _Mapping]] = ..., scheduled: _Optional[_Union[Scheduled, _Mapping]] = ..., job: _Optional[_Union[Job, _Mapping]] = ..., recorded: _Optional[_Union[Recorded, _Mapping]] = ..., replayed: _Optional[_Union[Replayed, _Mapping]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class Recorded(_message.Message):
    __slots__ = ("rows", "cursor", "total", "deleted", "recorders")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    RECORDERS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    cursor: str
    total: int
    deleted: int
    recorders: Recorders
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., cursor: _Optional[str] = ..., total: _Optional[int] = ..., deleted: _Optional[int] = ..., recorders: _Optional[_Union[Recorders, _Mapping]] = ...) -> None: ...

class Recorders(_message.Message):
    __slots__ = ("count", "filled", "lost", "trouble")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    count: int
    filled: bool
    lost: int
    trouble: bool
    def __init__(self, count: _Optional[int] = ..., filled: bool = ..., lost: _Optional[int] = ..., trouble: bool = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("id", "topic", "status", "key", "source", "correlation_id", "causation_id", "time", "expires", "retries", "error", "content_type", "schema_version", "priority", "hops", "headers", "data", "stored")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
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
    headers: _containers.ScalarMap[str, str]
    data: _value_pb2.Value
    stored: bool
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., status: _Optional[str] = ..., key: _Optional[str] = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., time: _Optional[str] = ..., expires: bool = ..., retries: _Optional[int] = ..., error: _Optional[str] = ..., content_type: _Optional[str] = ..., schema_version: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., stored: bool = ...) -> None: ...

class Replayed(_message.Message):
    __slots__ = ("id", "sent", "skipped", "total", "done")
    ID_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    id: str
    sent: int
    skipped: int
    total: int
    done: bool
    def __init__(self, id: _Optional[str] = ..., sent: _Optional[int] = ..., skipped: _Optional[int] = ..., total: _Optional[int] = ..., done: bool = ...) -> None: ...

class Figures(_message.Message):
    __slots__ = ("series", "topic", "exposition")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EXPOSITION_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    topic: str
    exposition: str
    def __init__(self, series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., topic: _Optional[str] = ..., exposition: _Optional[str] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("kind", "group", "published", "pending", "delivered", "failed", "expired", "cancelled", "dropped", "redelivered", "retried", "dead_letters", "parked_keys", "queue_times", "handle_times", "round_trips", "total", "succeeded", "skipped")
    KIND_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    PARKED_KEYS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMES_FIELD_NUMBER: _ClassVar[int]
    HANDLE_TIMES_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIPS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    group: str
    published: int
    pending: int
    delivered: int
    failed: int
    expired: int
    cancelled: int
    dropped: int
    redelivered: int
    retried: int
    dead_letters: int
    parked_keys: int
    queue_times: int
    handle_times: int
    round_trips: int
    total: int
    succeeded: int
    skipped: int
    def __init__(self, kind: _Optional[str] = ..., group: _Optional[str] = ..., published: _Optional[int] = ..., pending: _Optional[int] = ..., delivered: _Optional[int] = ..., failed: _Optional[int] = ..., expired: _Optional[int] = ..., cancelled: _Optional[int] = ..., dropped: _Optional[int] = ..., redelivered: _Optional[int] = ..., retried: _Optional[int] = ..., dead_letters: _Optional[int] = ..., parked_keys: _Optional[int] = ..., queue_times: _Optional[int] = ..., handle_times: _Optional[int] = ..., round_trips: _Optional[int] = ..., total: _Optional[int] = ..., succeeded: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...

class Receipts(_message.Message):
    __slots__ = ("receipts",)
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    def __init__(self, receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ...) -> None: ...

class Items(_message.Message):
    __slots__ = ("values", "ended", "failure")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    ended: bool
    failure: Failure
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., ended: bool = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Gathered(_message.Message):
    __slots__ = ("replies", "errors", "missing")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[Gave]
    errors: _containers.RepeatedCompositeFieldContainer[Gave]
    missing: _containers.RepeatedCompositeFieldContainer[Gave]
    def __init__(self, replies: _Optional[_Iterable[_Union[Gave, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[Gave, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[Gave, _Mapping]]] = ...) -> None: ...

class Gave(_message.Message):
    __slots__ = ("service", "instance", "group", "value", "failure")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance: str
    group: str
    value: _value_pb2.Value
    failure: Failure
    def __init__(self, service: _Optional[str] = ..., instance: _Optional[str] = ..., group: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("steps", "missing")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Told]
    missing: int
    def __init__(self, steps: _Optional[_Iterable[_Union[Told, _Mapping]]] = ..., missing: _Optional[int] = ...) -> None: ...

class Told(_message.Message):
    __slots__ = ("name", "source", "topic", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    topic: str
    detail: _value_pb2.Value
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., topic: _Optional[str] = ..., detail: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("id", "correlation_id", "stored", "planned", "overdue")
    ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    id: str
    correlation_id: str
    stored: Stored
    planned: bool
    overdue: bool
    def __init__(self, id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., stored: _Optional[_Union[Stored, _Mapping]] = ..., planned: bool = ..., overdue: bool = ...) -> None: ...

class Scheduled(_message.Message):
    __slots__ = ("id", "status", "topic", "key", "durable", "priority", "attempts", "error", "ended", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: str
    topic: str
    key: str
    durable: bool
    priority: int
    attempts: int
    error: str
    ended: bool
    data: _value_pb2.Value
    def __init__(self, id: _Optional[str] = ..., status: _Optional[str] = ..., topic: _Optional[str] = ..., key: _Optional[str] = ..., durable: bool = ..., priority: _Optional[int] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., ended: bool = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("name", "expression", "zone", "topic", "data", "key", "call", "paused", "next", "runs", "status", "attempts", "error", "reply", "id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    expression: str
    zone: str
    topic: str
    data: _value_pb2.Value
    key: str
    call: bool
    paused: bool
    next: bool
    runs: int
    status: str
    attempts: int
    error: str
    reply: _value_pb2.Value
    id: str
    def __init__(self, name: _Optional[str] = ..., expression: _Optional[str] = ..., zone: _Optional[str] = ..., topic: _Optional[str] = ..., data: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., key: _Optional[str] = ..., call: bool = ..., paused: bool = ..., next: bool = ..., runs: _Optional[int] = ..., status: _Optional[str] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., reply: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("stream", "entry", "duplicate")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    entry: str
    duplicate: bool
    def __init__(self, stream: _Optional[str] = ..., entry: _Optional[str] = ..., duplicate: bool = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "details", "outcome", "type", "retry_after_ms", "from_wire", "retryable", "class_name", "cancelled")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    FROM_WIRE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    details: _value_pb2.Value
    outcome: str
    type: str
    retry_after_ms: float
    from_wire: bool
    retryable: bool
    class_name: str
    cancelled: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., outcome: _Optional[str] = ..., type: _Optional[str] = ..., retry_after_ms: _Optional[float] = ..., from_wire: bool = ..., retryable: bool = ..., class_name: _Optional[str] = ..., cancelled: bool = ...) -> None: ...

class Delivered(_message.Message):
    __slots__ = ("run", "subscription", "values", "facts", "at")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    run: int
    subscription: str
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    facts: Facts
    at: int
    def __init__(self, run: _Optional[int] = ..., subscription: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., facts: _Optional[_Union[Facts, _Mapping]] = ..., at: _Optional[int] = ...) -> None: ...

class Facts(_message.Message):
    __slots__ = ("id", "topic", "is_request", "source", "correlation_id", "causation_id", "headers", "content_type", "schema_version", "key", "priority", "hops", "data", "remaining_ms", "attempt", "group", "replay")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
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
    DATA_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    topic: str
    is_request: bool
    source: str
    correlation_id: str
    causation_id: str
    headers: _containers.ScalarMap[str, str]
    content_type: str
    schema_version: str
    key: str
    priority: int
    hops: int
    data: str
    remaining_ms: float
    attempt: int
    group: str
    replay: str
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., is_request: bool = ..., source: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., content_type: _Optional[str] = ..., schema_version: _Optional[str] = ..., key: _Optional[str] = ..., priority: _Optional[int] = ..., hops: _Optional[int] = ..., data: _Optional[str] = ..., remaining_ms: _Optional[float] = ..., attempt: _Optional[int] = ..., group: _Optional[str] = ..., replay: _Optional[str] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ("run", "subscription", "how", "items", "at")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    run: int
    subscription: str
    how: How
    items: int
    at: int
    def __init__(self, run: _Optional[int] = ..., subscription: _Optional[str] = ..., how: _Optional[_Union[How, str]] = ..., items: _Optional[int] = ..., at: _Optional[int] = ...) -> None: ...

class Inner(_message.Message):
    __slots__ = ("run", "subscription", "answer")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    run: int
    subscription: str
    answer: Answer
    def __init__(self, run: _Optional[int] = ..., subscription: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...
