"""Payloads: all vectors, and random values there and back."""

from __future__ import annotations

import resource
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.vectors import bytes_of, exactly, value_of, vectors
from tieline import InvalidPayloadError, TielineError
from tieline.codec import JSON, decode, encode, encode_reply

VECTORS = vectors("payloads")
A_LOT = 64 * 1024  # KiB


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", VECTORS[name], ids=[case["name"] for case in VECTORS[name]])


@cases("cases")
def test_payloads_mean_the_same_in_every_language(case: dict[str, Any]) -> None:
    data, value = bytes_of(case["hex"]), value_of(case["value"])
    assert exactly(decode(data)) == exactly(value)
    assert exactly(decode(encode(value))) == exactly(value)
    if case.get("canonical"):
        assert encode(value).hex() == data.hex()


@cases("bad")
def test_bad_payloads_are_refused_without_allocating_what_they_declare(case: dict[str, Any]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TielineError) as caught:
        decode(bytes_of(case["hex"]))
    assert caught.value.code == case["code"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < A_LOT


@cases("refused")
def test_values_that_cannot_travel_are_refused_by_their_path(case: dict[str, Any]) -> None:
    with pytest.raises(TielineError) as caught:
        encode(value_of(case["value"]))
    assert caught.value.code == case["code"]
    if case["path"] is not None:
        assert caught.value.message.startswith(case["path"])
        assert caught.value.details["path"] == case["path"]


@cases("json")
def test_json_means_the_same_in_every_language(case: dict[str, Any]) -> None:
    value = value_of(case["value"])
    assert exactly(decode(case["text"].encode(), JSON)) == exactly(value)
    assert exactly(decode(encode(value, JSON), JSON)) == exactly(value)
    if case.get("canonical"):
        assert encode(value, JSON).decode() == case["text"]


@cases("json_bad")
def test_bad_json_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayloadError):
        decode(bytes_of(case["hex"]) if "hex" in case else case["text"].encode(), JSON)


@cases("json_refused")
def test_values_that_have_no_place_in_json_are_refused_by_their_path(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        encode(value_of(case["value"]), JSON)
    assert caught.value.details["path"] == case["path"]


@cases("replies")
def test_replies_go_out_as_they_were_asked_for_where_that_can_be(case: dict[str, Any]) -> None:
    value = value_of(case["value"])
    data, content_type = encode_reply(value, case["request"])
    assert content_type == case["reply"]
    assert exactly(decode(data, content_type)) == exactly(value)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=30,
)


@given(ANYTHING)
def test_whatever_is_sent_arrives_as_it_was(value: Any) -> None:
    assert exactly(decode(encode(value))) == exactly(value)


@given(st.binary(max_size=200))
def test_no_bytes_do_any_harm(data: bytes) -> None:
    try:
        value = decode(data)
    except InvalidPayloadError:
        return
    assert exactly(decode(encode(value))) == exactly(value)
