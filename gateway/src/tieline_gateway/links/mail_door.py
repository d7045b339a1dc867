"""What may be asked of durable events from outside. Rules: SPEC.md, sections 8 and 14.

What the broker named (members, entries, letters) is bytes that came from it: only their sizes are checked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence, Sized

from google.protobuf.message import DecodeError

from tieline import topics
from tieline._contract import contract
from tieline._contract import durable_pb2 as wire
from tieline._contract import gateway_pb2 as link_wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.durable.dead_letters import DeadLetter
from tieline.durable.mail import Draft, Redriven, Settlement, Verdict
from tieline.envelope import EVENT, parse
from tieline.errors import InvalidArgumentError
from tieline.outgoing import check_key
from tieline.publisher import Durable, check_durable
from tieline_gateway.links.door import Door

_MOST = contract.LIMIT_APPEND_EVENTS
_MOST_LETTERS = 1_000
_AT_ONCE = 500
_NAME_BYTES = 512
_TOKEN_DIGITS = 20
_LETTER_BYTES = 2 * contract.LIMIT_PAYLOAD_BYTES
_LONGEST_MS = 86_400_000
_LONGEST_PAUSE_MS = 30 * _LONGEST_MS
_WITHOUT_KEY = b"\0"
_TOLD_WITH_LETTER = (Verdict.PARK, Verdict.DEAD)
_is_letter = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII).fullmatch
_WITHOUT_GROUP = frozenset({"append", "list_groups", "list_letters", "redrive", "purge"})


def check_place(request: wire.MailRequest, name: str) -> None:
    """The topic and the group that are asked about.

    Raises:
        TielineError: they are none.

    """
    if name != "list_topics":
        topics.check_topic(request.topic)
        if name not in _WITHOUT_GROUP:
            topics.check_group(request.group)


def durability(request: link_wire.PublishRequest) -> Durable | None:
    """How an event is to be stored; None for a live one.

    Raises:
        InvalidArgumentError: what is said makes no sense, alone or together.

    """
    if not (request.key or request.durable):
        if request.priority or request.dedupe or request.max_stored:
            raise InvalidArgumentError("priority, dedupe and max_stored are for what is stored: add a key, or durable")
        return None
    priority = request.priority or contract.PRIORITY_NORMAL
    durable = Durable(request.key or None, priority, request.dedupe or None, request.max_stored)
    check_durable(durable)
    return durable


async def drafts(door: Door, topic: str, append: wire.Append, now: int) -> list[Draft]:
    """Read and stamp what is to be stored; of many, some at a time, so that others get their turn.

    Raises:
        TielineError: one of them breaks a rule.

    """
    _check_count("events", append.drafts)
    read = [_draft(door, topic, item, append.most, now) for item in append.drafts[:_AT_ONCE]]
    for start in range(_AT_ONCE, len(append.drafts), _AT_ONCE):
        await asyncio.sleep(0)
        read += [_draft(door, topic, item, append.most, now) for item in append.drafts[start : start + _AT_ONCE]]
    return read


def claim(item: wire.Claim) -> tuple[int, int, float]:
    """Members and entries that are wanted, and for how many seconds.

    Raises:
        InvalidArgumentError: it is none, or too much.

    """
    slots = _within("slots", item.slots, contract.LIMIT_CLAIM_SLOTS)
    entries = _within("entries", item.entries, contract.LIMIT_CLAIM_ENTRIES)
    return slots, entries, lease(item.lease_ms)


def lease(milliseconds: int) -> float:
    """How long a lease lasts, in seconds.

    Raises:
        InvalidArgumentError: it is out of bounds.

    """
    return _within("lease_ms", milliseconds, _LONGEST_MS) / 1000


def settlements(topic: str, group: str, items: Sequence[wire.Settlement]) -> list[Settlement]:
    """Read what is to become of leases.

    Raises:
        InvalidArgumentError: one of them makes no sense.

    """
    _check_count("settlements", items)
    return [_settlement(topic, group, item) for item in items]


def leases(items: Sequence[wire.Lease]) -> list[tuple[bytes, bytes]]:
    """Read whose leases begin anew.

    Raises:
        InvalidArgumentError: one of them can be nobody's.

    """
    _check_count("leases", items)
    return [(_name("member", item.member), _token(item.token)) for item in items]


def redriven(topic: str, items: Sequence[wire.Redriven]) -> list[Redriven]:
    """Read what is to be put back.

    Raises:
        InvalidArgumentError: one of them makes no sense.

    """
    _check_count("letters", items)
    return [_redriven(topic, item) for item in items]


def put_back(door: Door, asked: Redriven, kept: DeadLetter, now: int) -> Redriven:
    """What is put back: the event of the letter that is kept, with the payload and headers that were asked for.

    If they are others, the client is its source: it is stamped as what that client publishes.

    Raises:
        TielineError: it did not fail in that group, or what is new breaks a rule.

    """
    if asked.group != kept.group:
        raise InvalidArgumentError(f"the dead letter {kept.id} is one of the group {kept.group!r}, not {asked.group!r}")
    given, envelope = Envelope.FromString(asked.envelope), Envelope()
    envelope.CopyFrom(kept.event.envelope)
    if not given.expires_at:
        envelope.ttl_ms = envelope.expires_at = 0
    if (given.data, given.headers) != (envelope.data, envelope.headers):
        envelope.data = given.data
        envelope.headers.clear()
        envelope.headers.update(given.headers)
        envelope = door.stored(envelope.SerializeToString(), now)
    envelope.redriven = kept.redriven + 1
    return Redriven(kept.id, kept.group, envelope.key, _priority(envelope), envelope.SerializeToString())


def letter_ids(items: Sequence[str]) -> list[str]:
    """Read which dead letters are meant.

    Raises:
        InvalidArgumentError: one of them can be none.

    """
    _check_count("letters", items)
    return [letter_id(item) for item in items]


def letter_id(given: str) -> str:
    """Read which dead letter is meant.

    Raises:
        InvalidArgumentError: it can be none.

    """
    _name("the letter's id", given)
    return given


def letter_limit(given: int) -> int:
    """How many dead letters are wanted.

    Raises:
        InvalidArgumentError: none, or too many.

    """
    return _within("limit", given, _MOST_LETTERS)


def _draft(door: Door, topic: str, item: wire.Draft, most: int, now: int) -> Draft:
    envelope = door.stored(item.envelope, now)
    _check_topic(envelope, topic)
    durable = Durable(envelope.key or None, _priority(envelope), item.known_as or None, most)
    check_durable(durable)
    window = _within("window_ms", item.window_ms, _LONGEST_MS) if item.known_as else 0
    return Draft(envelope.key, durable.priority, item.known_as, window, envelope.SerializeToString())


def _settlement(topic: str, group: str, item: wire.Settlement) -> Settlement:
    try:
        verdict = Verdict(item.verdict)
    except ValueError:
        raise InvalidArgumentError(f"no lease can end with the verdict {item.verdict[:32]!r}") from None
    if verdict is Verdict.RETRY:
        _check_pause(item.argument)
    elif verdict in _TOLD_WITH_LETTER:
        _check_letter(topic, group, item.argument)
    _check_count("entries", item.entries, least=verdict is Verdict.DEAD)
    entries = [_name("an entry's id", entry) for entry in item.entries]
    member, token = _name("member", item.member), _token(item.token)
    if verdict is Verdict.PARK and member.startswith(_WITHOUT_KEY):
        raise InvalidArgumentError("only a key can be parked, and this event has none")
    return Settlement(member, token, verdict, item.argument, entries)


def _check_pause(argument: bytes) -> None:
    digits = argument.isdigit() and len(argument) < 16
    if not (digits and int(argument) <= _LONGEST_PAUSE_MS):
        raise InvalidArgumentError(f"a retry is told in milliseconds, up to {_LONGEST_PAUSE_MS}, not {argument[:32]!r}")


def _check_letter(topic: str, group: str, argument: bytes) -> None:
    try:
        letter = wire.DeadLetter.FromString(argument)
    except DecodeError:
        raise InvalidArgumentError(f"{len(argument)} bytes are no DeadLetter") from None
    if (letter.topic, letter.group) != (topic, group) or len(argument) > _LETTER_BYTES:
        bound = f"of {topic!r} and the group {group!r}, and takes at most {_LETTER_BYTES} bytes"
        raise InvalidArgumentError(f"what becomes a dead letter here is {bound}")


def _redriven(topic: str, item: wire.Redriven) -> Redriven:
    envelope = parse(item.envelope)
    if envelope is None or envelope.kind != EVENT:
        raise InvalidArgumentError(f"{len(item.envelope)} bytes are no event")
    _check_topic(envelope, topic)
    if envelope.key:
        check_key(envelope.key, "key")
    group = topics.check_group(item.group)
    if not _is_letter(item.id):
        raise InvalidArgumentError(f"{item.id!r:.80} is no id of a dead letter; one looks like 1767225600000-0")
    return Redriven(item.id, group, envelope.key, _priority(envelope), item.envelope)


def _check_topic(envelope: Envelope, topic: str) -> None:
    if envelope.topic != topic:
        raise InvalidArgumentError(f"an event of {envelope.topic!r} cannot be stored for {topic!r}")


def _priority(envelope: Envelope) -> int:
    return envelope.priority or contract.PRIORITY_NORMAL


def _name(what: str, given: bytes | str) -> bytes:
    name = given.encode() if isinstance(given, str) else given
    if not 0 < len(name) <= _NAME_BYTES:
        raise InvalidArgumentError(f"{what} has 1 to {_NAME_BYTES} bytes, not {len(name)}")
    return name


def _token(given: bytes) -> bytes:
    if not (given.isdigit() and len(given) <= _TOKEN_DIGITS):
        raise InvalidArgumentError(f"the token of a lease is a number, not {given[:32]!r}")
    return given


def _check_count(what: str, items: Sized, *, least: bool = True) -> None:
    if not least <= len(items) <= _MOST:
        raise InvalidArgumentError(f"{int(least)} to {_MOST} {what} are allowed at a time, not {len(items)}")


def _within(what: str, given: int, most: int) -> int:
    if not 0 < given <= most:
        raise InvalidArgumentError(f"{what} must be from 1 to {most}, not {given}")
    return given
