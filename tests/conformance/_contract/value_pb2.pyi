from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Odd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ODD_UNSPECIFIED: _ClassVar[Odd]
    ODD_NUMBER_KEY: _ClassVar[Odd]
    ODD_OBJECT: _ClassVar[Odd]
    ODD_BAD_TIME: _ClassVar[Odd]
    ODD_CYCLE: _ClassVar[Odd]
ODD_UNSPECIFIED: Odd
ODD_NUMBER_KEY: Odd
ODD_OBJECT: Odd
ODD_BAD_TIME: Odd
ODD_CYCLE: Odd

class Value(_message.Message):
    __slots__ = ("nil", "bool", "int", "double", "text", "bytes", "list", "map", "time", "utf16", "nest", "odd", "times", "native", "items", "key")
    NIL_FIELD_NUMBER: _ClassVar[int]
    BOOL_FIELD_NUMBER: _ClassVar[int]
    INT_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    UTF16_FIELD_NUMBER: _ClassVar[int]
    NEST_FIELD_NUMBER: _ClassVar[int]
    ODD_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    NATIVE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    nil: bool
    bool: bool
    int: str
    double: str
    text: str
    bytes: str
    list: bool
    map: bool
    time: Time
    utf16: str
    nest: Nest
    odd: Odd
    times: int
    native: str
    items: _containers.RepeatedCompositeFieldContainer[Value]
    key: str
    def __init__(self, nil: bool = ..., bool: bool = ..., int: _Optional[str] = ..., double: _Optional[str] = ..., text: _Optional[str] = ..., bytes: _Optional[str] = ..., list: bool = ..., map: bool = ..., time: _Optional[_Union[Time, _Mapping]] = ..., utf16: _Optional[str] = ..., nest: _Optional[_Union[Nest, _Mapping]] = ..., odd: _Optional[_Union[Odd, str]] = ..., times: _Optional[int] = ..., native: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., key: _Optional[str] = ...) -> None: ...

class Time(_message.Message):
    __slots__ = ("seconds", "nanos")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    NANOS_FIELD_NUMBER: _ClassVar[int]
    seconds: str
    nanos: int
    def __init__(self, seconds: _Optional[str] = ..., nanos: _Optional[int] = ...) -> None: ...

class Nest(_message.Message):
    __slots__ = ("lists", "inside")
    LISTS_FIELD_NUMBER: _ClassVar[int]
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    lists: int
    inside: Value
    def __init__(self, lists: _Optional[int] = ..., inside: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
