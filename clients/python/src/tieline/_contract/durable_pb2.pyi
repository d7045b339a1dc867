from tieline._contract import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
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

class MailRequest(_message.Message):
    __slots__ = ("ref", "topic", "group", "append", "enroll", "claim", "settle", "extend", "list_topics", "list_groups", "dismiss", "list_letters", "redrive", "purge", "list_parked", "unpark")
    REF_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    ENROLL_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    LIST_TOPICS_FIELD_NUMBER: _ClassVar[int]
    LIST_GROUPS_FIELD_NUMBER: _ClassVar[int]
    DISMISS_FIELD_NUMBER: _ClassVar[int]
    LIST_LETTERS_FIELD_NUMBER: _ClassVar[int]
    REDRIVE_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    LIST_PARKED_FIELD_NUMBER: _ClassVar[int]
    UNPARK_FIELD_NUMBER: _ClassVar[int]
    ref: int
    topic: str
    group: str
    append: Append
    enroll: Enroll
    claim: Claim
    settle: Settle
    extend: Extend
    list_topics: ListTopics
    list_groups: ListGroups
    dismiss: Dismiss
    list_letters: ListLetters
    redrive: Redrive
    purge: Purge
    list_parked: ListParked
    unpark: Unpark
    def __init__(self, ref: _Optional[int] = ..., topic: _Optional[str] = ..., group: _Optional[str] = ..., append: _Optional[_Union[Append, _Mapping]] = ..., enroll: _Optional[_Union[Enroll, _Mapping]] = ..., claim: _Optional[_Union[Claim, _Mapping]] = ..., settle: _Optional[_Union[Settle, _Mapping]] = ..., extend: _Optional[_Union[Extend, _Mapping]] = ..., list_topics: _Optional[_Union[ListTopics, _Mapping]] = ..., list_groups: _Optional[_Union[ListGroups, _Mapping]] = ..., dismiss: _Optional[_Union[Dismiss, _Mapping]] = ..., list_letters: _Optional[_Union[ListLetters, _Mapping]] = ..., redrive: _Optional[_Union[Redrive, _Mapping]] = ..., purge: _Optional[_Union[Purge, _Mapping]] = ..., list_parked: _Optional[_Union[ListParked, _Mapping]] = ..., unpark: _Optional[_Union[Unpark, _Mapping]] = ...) -> None: ...

class MailResponse(_message.Message):
    __slots__ = ("ref", "error", "more", "stored", "yes", "claimed", "kept", "names", "groups", "letters", "count", "other")
    REF_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    YES_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    ref: int
    error: _envelope_pb2.Error
    more: bool
    stored: _containers.RepeatedCompositeFieldContainer[Stored]
    yes: bool
    claimed: Claimed
    kept: _containers.RepeatedScalarFieldContainer[bool]
    names: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedCompositeFieldContainer[GroupFigures]
    letters: _containers.RepeatedCompositeFieldContainer[Letter]
    count: int
    other: str
    def __init__(self, ref: _Optional[int] = ..., error: _Optional[_Union[_envelope_pb2.Error, _Mapping]] = ..., more: bool = ..., stored: _Optional[_Iterable[_Union[Stored, _Mapping]]] = ..., yes: bool = ..., claimed: _Optional[_Union[Claimed, _Mapping]] = ..., kept: _Optional[_Iterable[bool]] = ..., names: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[_Union[GroupFigures, _Mapping]]] = ..., letters: _Optional[_Iterable[_Union[Letter, _Mapping]]] = ..., count: _Optional[int] = ..., other: _Optional[str] = ...) -> None: ...

class Append(_message.Message):
    __slots__ = ("drafts", "together", "most")
    DRAFTS_FIELD_NUMBER: _ClassVar[int]
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    drafts: _containers.RepeatedCompositeFieldContainer[Draft]
    together: bool
    most: int
    def __init__(self, drafts: _Optional[_Iterable[_Union[Draft, _Mapping]]] = ..., together: bool = ..., most: _Optional[int] = ...) -> None: ...

class Draft(_message.Message):
    __slots__ = ("envelope", "known_as", "window_ms")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_AS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    known_as: str
    window_ms: int
    def __init__(self, envelope: _Optional[bytes] = ..., known_as: _Optional[str] = ..., window_ms: _Optional[int] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("stream", "entry", "duplicate", "taken")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    stream: str
    entry: str
    duplicate: bool
    taken: bool
    def __init__(self, stream: _Optional[str] = ..., entry: _Optional[str] = ..., duplicate: bool = ..., taken: bool = ...) -> None: ...

class Enroll(_message.Message):
    __slots__ = ("latest", "again")
    LATEST_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    latest: bool
    again: bool
    def __init__(self, latest: bool = ..., again: bool = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("slots", "entries", "lease_ms")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    slots: int
    entries: int
    lease_ms: int
    def __init__(self, slots: _Optional[int] = ..., entries: _Optional[int] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class Claimed(_message.Message):
    __slots__ = ("token", "again_ms", "lost", "members")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGAIN_MS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    again_ms: int
    lost: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, token: _Optional[bytes] = ..., again_ms: _Optional[int] = ..., lost: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("name", "key", "failures", "entries")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    key: str
    failures: int
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, name: _Optional[bytes] = ..., key: _Optional[str] = ..., failures: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("id", "envelope", "group")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    envelope: bytes
    group: str
    def __init__(self, id: _Optional[bytes] = ..., envelope: _Optional[bytes] = ..., group: _Optional[str] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ("settlements", "lease_ms", "claims")
    SETTLEMENTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    settlements: _containers.RepeatedCompositeFieldContainer[Settlement]
    lease_ms: int
    claims: bool
    def __init__(self, settlements: _Optional[_Iterable[_Union[Settlement, _Mapping]]] = ..., lease_ms: _Optional[int] = ..., claims: bool = ...) -> None: ...

class Settlement(_message.Message):
    __slots__ = ("member", "token", "verdict", "argument", "entries")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    member: bytes
    token: bytes
    verdict: str
    argument: bytes
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, member: _Optional[bytes] = ..., token: _Optional[bytes] = ..., verdict: _Optional[str] = ..., argument: _Optional[bytes] = ..., entries: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Extend(_message.Message):
    __slots__ = ("leases", "lease_ms")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    lease_ms: int
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("member", "token")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    member: bytes
    token: bytes
    def __init__(self, member: _Optional[bytes] = ..., token: _Optional[bytes] = ...) -> None: ...

class ListTopics(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListGroups(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GroupFigures(_message.Message):
    __slots__ = ("group", "since", "keys", "waiting", "pending", "parked", "oldest")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    PARKED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    group: str
    since: int
    keys: int
    waiting: int
    pending: int
    parked: int
    oldest: int
    def __init__(self, group: _Optional[str] = ..., since: _Optional[int] = ..., keys: _Optional[int] = ..., waiting: _Optional[int] = ..., pending: _Optional[int] = ..., parked: _Optional[int] = ..., oldest: _Optional[int] = ...) -> None: ...

class Dismiss(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLetters(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Letter(_message.Message):
    __slots__ = ("id", "letter")
    ID_FIELD_NUMBER: _ClassVar[int]
    LETTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    letter: bytes
    def __init__(self, id: _Optional[str] = ..., letter: _Optional[bytes] = ...) -> None: ...

class Redrive(_message.Message):
    __slots__ = ("letters",)
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    letters: _containers.RepeatedCompositeFieldContainer[Redriven]
    def __init__(self, letters: _Optional[_Iterable[_Union[Redriven, _Mapping]]] = ...) -> None: ...

class Redriven(_message.Message):
    __slots__ = ("id", "group", "envelope")
    ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    group: str
    envelope: bytes
    def __init__(self, id: _Optional[str] = ..., group: _Optional[str] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Purge(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListParked(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Unpark(_message.Message):
    __slots__ = ("key", "skip")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    key: str
    skip: bool
    def __init__(self, key: _Optional[str] = ..., skip: bool = ...) -> None: ...

class Wake(_message.Message):
    __slots__ = ("topic", "group")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    topic: str
    group: str
    def __init__(self, topic: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...
