"""The headers of a trace: which are handed on."""

from __future__ import annotations

import pytest

from tests.support.vectors import vectors
from tieline.tracing import inherit_trace, is_traceparent

VECTORS = vectors("traces")
GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("case", VECTORS["traceparents"], ids=lambda case: case["why"])
def test_what_is_a_traceparent(case: dict[str, object]) -> None:
    assert is_traceparent(str(case["value"])) is case["valid"]


@pytest.mark.parametrize("case", VECTORS["inherited"], ids=lambda case: case["why"])
def test_what_is_handed_on(case: dict[str, dict[str, str]]) -> None:
    headers = dict(case["own"])
    inherit_trace(headers, case["handled"])
    assert headers == case["result"]


def test_nothing_is_handed_on_where_it_would_not_fit() -> None:
    many = {f"h{n}": "" for n in range(63)}
    for own, fits in ((many, True), ({**many, "one": ""}, False), ({"big": "x" * 8_150}, False)):
        headers = dict(own)
        inherit_trace(headers, {"traceparent": GOOD})
        assert (headers != own) is fits
