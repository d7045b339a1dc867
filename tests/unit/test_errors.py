"""Errors: the closed list, what is retryable, and that an error survives travelling between processes."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tieline import errors
from tieline._contract.contract import ERRORS
from tieline.errors import HandlerError, NoRespondersError, Outcome, OverloadedError, TielineError, error_class

ROWS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "proto/vectors/errors.json").read_text(encoding="utf-8")
)["errors"]
NAMES = {
    "TIMEOUT": "CallTimeoutError",
    "NO_RESPONDERS": "NoRespondersError",
    "RESPONDER_LOST": "ResponderLostError",
    "HANDLER_ERROR": "HandlerError",
    "CANCELLED": "CallCancelledError",
    "INTERNAL": "InternalError",
    "LOOP_DETECTED": "LoopDetectedError",
}


def test_the_vectors_are_the_closed_list() -> None:
    assert [row["code"] for row in ROWS] == list(ERRORS)
    assert sorted(cls.code for cls in TielineError.__subclasses__()) == sorted(ERRORS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["code"])
def test_each_code_has_its_row_and_its_class(row: dict[str, Any]) -> None:
    spec = ERRORS[row["code"]]
    assert {name: row[name] for name in spec._fields} == spec._asdict()
    cls = error_class(row["code"])
    assert cls.code == row["code"]
    assert cls is getattr(errors, NAMES.get(row["code"], cls.__name__))
    assert cls.__doc__
    assert cls("x").outcome.value == row["outcome"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["code"])
def test_retryable_follows_from_code_outcome_and_idempotence(row: dict[str, Any]) -> None:
    for outcome, wanted in row["retryable"].items():
        error = error_class(row["code"])("x", outcome=outcome)
        assert error.retryable is wanted["once"]
        error.idempotent = True
        assert error.retryable is wanted["idempotent"]


def test_an_unknown_code_is_internal() -> None:
    assert error_class("FROM_THE_FUTURE") is errors.InternalError


def test_people_catch_the_builtin_types_too() -> None:
    assert isinstance(errors.CallTimeoutError("x"), TimeoutError)
    assert isinstance(errors.InvalidPayloadError("x"), ValueError)
    assert isinstance(errors.InvalidArgumentError("x"), ValueError)


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="PERHAPS"):
        TielineError("x", outcome="PERHAPS")


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_are_whole(code: str, copied: Any) -> None:
    error = error_class(code)(
        "why", details={"a": [1]}, outcome=Outcome.RAN, type="KeyError", retry_after=0.2, from_wire=True
    )
    error.idempotent, error.correlation_id = True, "c"
    twin = copied(error)
    assert type(twin) is type(error)
    assert vars(twin) == vars(error)
    assert twin.args == error.args == ("why",)
    assert vars(error) == {
        "message": "why",
        "details": {"a": [1]},
        "outcome": Outcome.RAN,
        "type": "KeyError",
        "retry_after": 0.2,
        "from_wire": True,
        "idempotent": True,
        "correlation_id": "c",
    }


def test_text_and_repr() -> None:
    assert str(NoRespondersError("nobody answers 'a.b'")) == "NO_RESPONDERS: nobody answers 'a.b'"
    assert str(NoRespondersError()) == "NO_RESPONDERS"
    assert str(HandlerError("'id'", type="KeyError")) == "HANDLER_ERROR: KeyError: 'id'"
    assert str(HandlerError(type="KeyError")) == "HANDLER_ERROR: KeyError"
    assert repr(NoRespondersError("x")) == "NoRespondersError('x', outcome=NOT_DELIVERED)"
    assert repr(OverloadedError("x", details={"a": 1}, retry_after=0.2)) == (
        "OverloadedError('x', outcome=NOT_DELIVERED, details={'a': 1}, retry_after=0.2)"
    )


def test_details_are_the_errors_own() -> None:
    given = {"a": 1}
    error = TielineError("x", details=given)
    given["b"] = 2
    assert error.details == {"a": 1}
    assert TielineError("x").details is not TielineError("y").details
