from tieline._contract import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScheduleStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_STATUS_UNSPECIFIED: _ClassVar[ScheduleStatus]
    SCHEDULE_STATUS_PENDING: _ClassVar[ScheduleStatus]
    SCHEDULE_STATUS_DELIVERED: _ClassVar[ScheduleStatus]
    SCHEDULE_STATUS_FAILED: _ClassVar[ScheduleStatus]
    SCHEDULE_STATUS_EXPIRED: _ClassVar[ScheduleStatus]
    SCHEDULE_STATUS_CANCELLED: _ClassVar[ScheduleStatus]
SCHEDULE_STATUS_UNSPECIFIED: ScheduleStatus
SCHEDULE_STATUS_PENDING: ScheduleStatus
SCHEDULE_STATUS_DELIVERED: ScheduleStatus
SCHEDULE_STATUS_FAILED: ScheduleStatus
SCHEDULE_STATUS_EXPIRED: ScheduleStatus
SCHEDULE_STATUS_CANCELLED: ScheduleStatus

class AgendaRequest(_message.Message):
    __slots__ = ("ref", "plan", "find", "list", "sums", "cancel", "move", "put_task", "drop_task", "find_task", "list_tasks", "run_task")
    REF_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    FIND_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    PUT_TASK_FIELD_NUMBER: _ClassVar[int]
    DROP_TASK_FIELD_NUMBER: _ClassVar[int]
    FIND_TASK_FIELD_NUMBER: _ClassVar[int]
    LIST_TASKS_FIELD_NUMBER: _ClassVar[int]
    RUN_TASK_FIELD_NUMBER: _ClassVar[int]
    ref: int
    plan: Plan
    find: FindPlanned
    list: ListPlanned
    sums: SumPlanned
    cancel: CancelPlanned
    move: MovePlanned
    put_task: PutTask
    drop_task: DropTask
    find_task: FindTask
    list_tasks: ListTasks
    run_task: RunTask
    def __init__(self, ref: _Optional[int] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., find: _Optional[_Union[FindPlanned, _Mapping]] = ..., list: _Optional[_Union[ListPlanned, _Mapping]] = ..., sums: _Optional[_Union[SumPlanned, _Mapping]] = ..., cancel: _Optional[_Union[CancelPlanned, _Mapping]] = ..., move: _Optional[_Union[MovePlanned, _Mapping]] = ..., put_task: _Optional[_Union[PutTask, _Mapping]] = ..., drop_task: _Optional[_Union[DropTask, _Mapping]] = ..., find_task: _Optional[_Union[FindTask, _Mapping]] = ..., list_tasks: _Optional[_Union[ListTasks, _Mapping]] = ..., run_task: _Optional[_Union[RunTask, _Mapping]] = ...) -> None: ...

class AgendaResponse(_message.Message):
    __slots__ = ("ref", "error", "more", "planned", "total", "yes", "sums", "version", "tasks")
    class SumsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    REF_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    YES_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    ref: int
    error: _envelope_pb2.Error
    more: bool
    planned: _containers.RepeatedCompositeFieldContainer[Planned]
    total: int
    yes: bool
    sums: _containers.ScalarMap[str, int]
    version: int
    tasks: _containers.RepeatedCompositeFieldContainer[KeptTask]
    def __init__(self, ref: _Optional[int] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., more: bool = ..., planned: _Optional[_Iterable[_Union[Planned, _Mapping]]] = ..., total: _Optional[int] = ..., yes: bool = ..., sums: _Optional[_Mapping[str, int]] = ..., version: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[KeptTask, _Mapping]]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("envelope", "durable", "known_as", "window_ms", "most", "retry")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_AS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    durable: bool
    known_as: str
    window_ms: int
    most: int
    retry: PlanRetry
    def __init__(self, envelope: _Optional[bytes] = ..., durable: bool = ..., known_as: _Optional[str] = ..., window_ms: _Optional[int] = ..., most: _Optional[int] = ..., retry: _Optional[_Union[PlanRetry, _Mapping]] = ...) -> None: ...

class PlanRetry(_message.Message):
    __slots__ = ("attempts", "backoff_ms", "cap_ms")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_FIELD_NUMBER: _ClassVar[int]
    CAP_MS_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    backoff_ms: int
    cap_ms: int
    def __init__(self, attempts: _Optional[int] = ..., backoff_ms: _Optional[int] = ..., cap_ms: _Optional[int] = ...) -> None: ...

class FindPlanned(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListPlanned(_message.Message):
    __slots__ = ("status", "offset", "limit")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    status: ScheduleStatus
    offset: int
    limit: int
    def __init__(self, status: _Optional[_Union[ScheduleStatus, str]] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class SumPlanned(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelPlanned(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class MovePlanned(_message.Message):
    __slots__ = ("id", "due", "was")
    ID_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    WAS_FIELD_NUMBER: _ClassVar[int]
    id: str
    due: int
    was: ScheduleStatus
    def __init__(self, id: _Optional[str] = ..., due: _Optional[int] = ..., was: _Optional[_Union[ScheduleStatus, str]] = ...) -> None: ...

class PutTask(_message.Message):
    __slots__ = ("version", "task", "expected")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    version: int
    task: bytes
    expected: int
    def __init__(self, version: _Optional[int] = ..., task: _Optional[bytes] = ..., expected: _Optional[int] = ...) -> None: ...

class DropTask(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FindTask(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListTasks(_message.Message):
    __slots__ = ("offset", "limit")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    offset: int
    limit: int
    def __init__(self, offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class RunTask(_message.Message):
    __slots__ = ("name", "version", "tick")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    tick: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., tick: _Optional[int] = ...) -> None: ...

class KeptTask(_message.Message):
    __slots__ = ("name", "version", "task", "expected", "runs", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    task: bytes
    expected: int
    runs: int
    run: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., task: _Optional[bytes] = ..., expected: _Optional[int] = ..., runs: _Optional[int] = ..., run: _Optional[bytes] = ...) -> None: ...

class Planned(_message.Message):
    __slots__ = ("id", "status", "due", "tries", "created", "ended", "why", "durable", "priority", "envelope")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: ScheduleStatus
    due: int
    tries: int
    created: int
    ended: int
    why: str
    durable: bool
    priority: int
    envelope: bytes
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[ScheduleStatus, str]] = ..., due: _Optional[int] = ..., tries: _Optional[int] = ..., created: _Optional[int] = ..., ended: _Optional[int] = ..., why: _Optional[str] = ..., durable: bool = ..., priority: _Optional[int] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("id", "status", "due", "topic", "key", "durable", "priority", "attempts", "created", "ended", "error", "event")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: ScheduleStatus
    due: int
    topic: str
    key: str
    durable: bool
    priority: int
    attempts: int
    created: int
    ended: int
    error: str
    event: _envelope_pb2.Envelope
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[ScheduleStatus, str]] = ..., due: _Optional[int] = ..., topic: _Optional[str] = ..., key: _Optional[str] = ..., durable: bool = ..., priority: _Optional[int] = ..., attempts: _Optional[int] = ..., created: _Optional[int] = ..., ended: _Optional[int] = ..., error: _Optional[str] = ..., event: _Optional[_Union[_envelope_pb2.Envelope, _Mapping]] = ...) -> None: ...
