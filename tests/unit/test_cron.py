"""When something recurs: all vectors, and fields at random against the plain rule."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tieline.cron import zone as zones
from tieline.cron.cron import parse_cron
from tieline.errors import InvalidArgumentError

VECTORS: dict[str, list[Any]] = json.loads(
    (Path(__file__).parents[2] / "proto/vectors/cron.json").read_text(encoding="utf-8")
)
BERLIN = "Europe/Berlin"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat().replace("+00:00", "Z").replace("000Z", "Z")


@pytest.mark.parametrize("case", VECTORS["next"], ids=lambda case: case["why"])
def test_what_comes_next(case: dict[str, Any]) -> None:
    cron = parse_cron(case["expression"], case["zone"])
    assert [iso(at) for at in cron.upcoming(ms(case["after"]), case["count"])] == case["times"]


@pytest.mark.parametrize("case", VECTORS["started"], ids=lambda case: case["why"])
def test_what_comes_next_from_a_start_on(case: dict[str, Any]) -> None:
    times = parse_cron(case["expression"]).upcoming(ms(case["after"]), len(case["times"]), ms(case["start"]))
    assert [iso(at) for at in times] == case["times"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: ascii(case["expression"] + case["zone"])[:40])
def test_nonsense_is_refused_by_the_name_of_the_field(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_cron(case["expression"], case["zone"])
    assert caught.value.message == case["message"]
    assert caught.value.details == {"field": case["field"]}


@pytest.mark.parametrize("value", [None, 5, b"* * * * *", ["*"]], ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"expression must be text, not {type(value).__name__}"):
        parse_cron(value)
    with pytest.raises(InvalidArgumentError, match=f"zone must be text, not {type(value).__name__}"):
        parse_cron("* * * * *", value)


def test_a_machine_without_time_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError

    monkeypatch.setattr(zones, "ZoneInfo", unknown)
    monkeypatch.setattr(zones, "_spelled", dict)
    with pytest.raises(InvalidArgumentError, match="install the package tzdata"):
        parse_cron("* * * * *", BERLIN)
    assert parse_cron("* * * * *", "UTC").next(0) == 60_000


def test_the_last_before_a_moment() -> None:
    cron = parse_cron("0 9 * * MON", BERLIN)
    first = ms("2026-01-05T08:00:00Z")
    for before in ("2026-01-05T08:00:00.001Z", "2026-01-12T08:00:00Z"):
        assert iso(cron.last(first, ms(before))) == "2026-01-05T08:00:00Z"
    assert iso(cron.last(first, ms("2026-04-01T00:00:00Z"))) == "2026-03-30T07:00:00Z"


# --- fields at random -----------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A field, and the values it stands for."""

    text: str
    values: frozenset[int]


def parts(least: int, most: int) -> st.SearchStrategy[Part]:
    every = frozenset(range(least, most + 1))
    value = st.integers(least, most)
    return st.one_of(
        st.just(Part("*", every)),
        st.integers(1, most).map(lambda step: Part(f"*/{step}", frozenset(range(least, most + 1, step)))),
        st.lists(value, min_size=1, max_size=3).map(lambda some: Part(",".join(map(str, some)), frozenset(some))),
        st.tuples(value, value)
        .map(sorted)
        .map(lambda ends: Part(f"{ends[0]}-{ends[1]}", frozenset(range(ends[0], ends[1] + 1)))),
    )


CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Africa/Cairo", "2026-04-23"),
    ("Africa/Cairo", "2026-10-29"),
    ("Asia/Kolkata", "2026-12-31"),
]


def plainly(fields: list[Part], name: str, since: datetime, until: datetime) -> list[int]:
    """The rule, minute by minute: whatever the clock shows, or every minute a clock could show in its first moment."""
    minutes, hours, days, months, weekdays = fields
    both = days.text.startswith("*") or weekdays.text.startswith("*")
    zone = ZoneInfo(name)

    def fits(wall: datetime) -> bool:
        by_day, by_weekday = wall.day in days.values, wall.isoweekday() % 7 in weekdays.values
        day = by_day and by_weekday if both else by_day or by_weekday
        return day and wall.minute in minutes.values and wall.hour in hours.values and wall.month in months.values

    def exists(wall: datetime) -> bool:
        back = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        return back.replace(tzinfo=None) == wall

    count = (until - since) // timedelta(minutes=1)
    if minutes.text.startswith("*") or hours.text.startswith("*"):
        moments = (since + timedelta(minutes=number) for number in range(1, count + 1))
        return [round(at.timestamp() * 1000) for at in moments if fits(at.astimezone(zone))]
    found: set[int] = set()
    for number in range(-2880, count + 2880):
        wall = since.replace(tzinfo=None) + timedelta(minutes=number)
        if fits(wall):
            while not exists(wall):
                wall += timedelta(minutes=1)
            found.add(round(wall.replace(tzinfo=zone).timestamp() * 1000))
    return sorted(at for at in found if since.timestamp() * 1000 < at <= until.timestamp() * 1000)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(parts(0, 59), parts(0, 23), parts(1, 31), parts(1, 12), parts(0, 6)),
    st.sampled_from(CHANGES),
    st.integers(-1440, 1440),
)
def test_fields_agree_with_the_plain_rule(fields: tuple[Part, ...], change: tuple[str, str], shift: int) -> None:
    name, day = change
    since = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=shift)
    until = since + timedelta(hours=36)
    wanted = plainly(list(fields), name, since, until)
    try:
        cron = parse_cron(" ".join(part.text for part in fields), name)
    except InvalidArgumentError:
        assert wanted == []
        return
    end, at, found = round(until.timestamp() * 1000), round(since.timestamp() * 1000), list[int]()
    while (following := cron.next(at)) is not None and following <= end:
        found.append(at := following)
    assert found == wanted
