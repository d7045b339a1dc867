"""What history can be asked, checked: which events, how many, from where on (SPEC.md, section 17)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tieline import topics
from tieline._contract import contract
from tieline.errors import InvalidArgumentError
from tieline.history.store import STATUSES, Selection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 2**62
_LATEST_SAID = 253_402_300_799_999  # the end of the year 9999, which a datetime can still say
_LAST = 2**63 - 1


def check_selection(
    types: object = (), start: object = None, end: object = None, status: object = "", source: object = ""
) -> Selection:
    """Read which events are meant, as it came from elsewhere.

    Raises:
        InvalidTopicError: a type is no topic and no pattern.
        InvalidArgumentError: something else is wrong; the message names it.

    """
    names: tuple[object, ...] = (types,) if isinstance(types, str) and types else tuple(_listed(types))
    checked = tuple(topics.check_pattern(name) for name in names)  # pyright: ignore[reportArgumentType]
    since, until = _moment("start", start), _moment("end", end)
    if since is not None and until is not None and since > until:
        told = f"start ({_said(since)}) is after end ({_said(until)})"
        raise InvalidArgumentError(f"{told}: there is nothing between them; swap them")
    if status is not None and status not in ("", *STATUSES):
        raise InvalidArgumentError(f"status is one of {', '.join(STATUSES)}, not {status!r:.80}")
    if source is not None and not isinstance(source, str):
        raise InvalidArgumentError(f"source is a service, or service/instance, not {source!r:.80}")
    return Selection(checked, since, until, str(status or ""), source or "")


def _listed(types: object) -> Sequence[object]:
    if not types:
        return ()
    if isinstance(types, (list, tuple)):
        return types  # pyright: ignore[reportUnknownVariableType]
    raise InvalidArgumentError(f"types is a list of topics or patterns, not {types!r:.80}")


def _said(moment: int) -> str:
    if moment > _LATEST_SAID:
        return str(moment)
    date = _EPOCH + timedelta(milliseconds=moment)
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(name: str, given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _LATEST:
        raise InvalidArgumentError(f"{name} is a moment in milliseconds since 1970, not {given!r:.80}")
    return given


def check_limit(given: object) -> int:
    """How many events are wanted at once.

    Raises:
        InvalidArgumentError: it is no number from 1 to 1,000.

    """
    if given is None:
        return contract.DEFAULT_PAGE
    most = contract.LIMIT_PAGE
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise InvalidArgumentError(f"limit is a whole number from 1 to {most:,}, not {given!r:.80}")
    return given


def check_page(given: object) -> int:
    """Which page is wanted, from 1; 0 for none.

    Raises:
        InvalidArgumentError: it is no such number.

    """
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _LATEST >> 10:
        raise InvalidArgumentError(f"page is a whole number from 1, not {given!r:.80}")
    return given


def check_ids(given: object) -> list[str]:
    """Ids of events.

    Raises:
        InvalidArgumentError: they are none, or too many.

    """
    ids: list[object] = list(given) if isinstance(given, (list, tuple)) else [given]  # pyright: ignore[reportUnknownArgumentType]
    if not all(isinstance(each, str) and each for each in ids):
        raise InvalidArgumentError(f"an event's id is a text that is not empty, not {given!r:.80}")
    if len(ids) > contract.LIMIT_PAGE:
        raise InvalidArgumentError(f"at most {contract.LIMIT_PAGE:,} ids at once, not {len(ids):,}")
    return [str(each) for each in ids]


def read_cursor(cursor: object) -> tuple[int, str]:
    """The number and the id of a cursor.

    Raises:
        InvalidArgumentError: it is none.

    """
    number, dash, event_id = cursor.partition("-") if isinstance(cursor, str) else ("", "", "")
    if not dash or not number.isascii() or not number.isdecimal() or int(number) > _LAST:
        raise InvalidArgumentError(f"{cursor!r:.80} is no cursor; take the one that came with the last page")
    return int(number), event_id
