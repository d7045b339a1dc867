from tieline._contract import envelope_pb2 as _envelope_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeadLetter(_message.Message):
    __slots__ = ("envelope", "topic", "group", "reason", "attempts", "error", "time", "entry")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    topic: str
    group: str
    reason: str
    attempts: int
    error: _envelope_pb2.Error
    time: int
    entry: str
    def __init__(self, envelope: _Optional[bytes] = ..., topic: _Optional[str] = ..., group: _Optional[str] = ..., reason: _Optional[str] = ..., attempts: _Optional[int] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., time: _Optional[int] = ..., entry: _Optional[str] = ...) -> None: ...
