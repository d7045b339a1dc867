"""The runner looks: what is wrong on purpose is found, in cases, in peers, and in the list of known failures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.runner import run as running
from tests.conformance.runner.cases import BadCaseError, Listed, load, load_all
from tests.conformance.runner.places import COMBINATIONS, Combination
from tests.conformance.runner.run import Result, run_all
from tests.conformance.runner.verdict import judge, read_known, report

SELF_CHECK = Path(__file__).parent / "self_check"
MEMORY_PY = Combination("memory", "python", "python")
REDIS_PY = Combination("redis", "python", "python")
REDIS_MIXED = Combination("redis", "node", "python")
GATEWAY_MIXED = Combination("gateway", "python", "node")


@pytest.mark.parametrize(
    "combination", [MEMORY_PY, REDIS_MIXED, GATEWAY_MIXED], ids=lambda combination: combination.name
)
async def test_every_wrong_case_fails_and_says_why(combination: Combination) -> None:
    wrong = [listed for listed in load_all(SELF_CHECK) if running.applies(listed, combination)]
    for result in await run_all(wrong, [combination]):
        assert result.failure, f"{result.listed.name} passed"
        assert result.listed.case.about in result.failure, f"{result.listed.name}: {result.failure}"


@pytest.mark.parametrize(
    ("lie", "found_by"),
    [
        ("smuggle", "what an observer saw: expected the bytes cf0020000000000001"),
        ("round", "expected ('int', '9007199254740993', 'int'), seen ('int', '9007199254740992', 'int')"),
        ("typeless", "expected ('int', '9007199254740993', 'int'), seen ('int', '9007199254740993', 'str')"),
    ],
)
async def test_a_peer_that_lies_about_values_is_found(lie: str, found_by: str) -> None:
    cases = [listed for listed in load_all() if listed.name == "payloads/an integer that no double can hold"]
    commands = {"python": [sys.executable, "-m", "tests.conformance.self_check.lying_peer", lie]}
    [honest] = await run_all(cases, [REDIS_PY])
    [lying] = await run_all(cases, [REDIS_PY], commands=commands)
    assert not honest.failure
    assert found_by in lying.failure


async def test_a_peer_that_lies_about_errors_is_found() -> None:
    commands = {"python": [sys.executable, "-m", "tests.conformance.self_check.lying_peer", "retryable"]}
    [lying] = await run_all([_case("errors/the handler raised")], [MEMORY_PY], commands=commands)
    assert "error retryable: expected False, seen True" in lying.failure


async def test_a_peer_that_does_not_tell_of_deliveries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conformance.runner.watching.PATIENCE_SECONDS", 0.3)
    commands = {"python": [sys.executable, "-m", "tests.conformance.self_check.lying_peer", "silent"]}
    [silent] = await run_all([_case("groups/each group gets a copy")], [MEMORY_PY], commands=commands)
    assert "expected 1 deliveries, seen 0" in silent.failure


async def test_a_peer_that_dies_fails_its_cases_and_no_others() -> None:
    commands = {"python": [sys.executable, "-c", "import sys; sys.exit('out of order')"]}
    with pytest.raises(Exception, match="out of order"):
        await run_all([_case("groups/each group gets a copy")], [MEMORY_PY], commands=commands)


def test_cases_are_many_and_differ_only_by_intent() -> None:
    cases = load_all()
    by_hand = [listed for listed in cases if "vectors" not in listed.group]
    assert len(by_hand) >= 120
    for combination in COMBINATIONS:
        assert any(running.applies(listed, combination) for listed in cases)
    assert all(any(running.applies(listed, one) for one in COMBINATIONS) for listed in cases)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: x\ncases: [{id: a, stepz: []}]", "no field named"),
        ("name: x\ncases: [{id: a, steps: [{call: {topik: a}}]}]", "no field named"),
        ("name: x\ncases: [{id: a, steps: [{call: {topic: a}, expect: {value: {int: 1}}}]}]", "expected string"),
        ("name: x\ncases: [{id: a, id: b, steps: [{call: {topic: a}}]}]", "id twice"),
        ("name: x\ncases: [{id: a, needs: [FEATURE_MAGIC], steps: [{call: {topic: a}}]}]", "FEATURE_MAGIC"),
        ("name: x\ncases: [{steps: [{call: {topic: a}}]}]", "a case has an id and steps"),
        ("name: x\ncases: [{id: a, steps: [{publish: {topic: a}}]}]", "observes nothing"),
        ("name: x\ncases: [{id: a, steps: [{call: {topic: a}, begin: c}]}]", "begun"),
        ("name: x\ncases: [{id: a, steps: [{deliveries: {at: [s], count: 0}}]}]", "nobody subscribed"),
        ("name: x\ncases: [{id: a, steps: [{on: x, expect: {done: true}}]}]", "does nothing"),
        ("name: x\ncases: [{id: a, steps: [{call: {topic: a}, expect: {error: {code: OOPS, outcome: RAN}}}]}]", "OOPS"),
        ("name: x\ncases: [{id: a, steps: [{call: {topic: a}, expect: {error: {code: TIMEOUT}}}]}]", "TIMEOUT"),
    ],
)
def test_a_typo_in_a_case_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(BadCaseError, match=fault):
        load(text, "typo.yaml")


def test_two_cases_of_one_name_are_an_error(tmp_path: Path) -> None:
    case = '{id: a, steps: [{call: {topic: a}, expect: {value: {int: "1"}}}]}'
    (tmp_path / "x.yaml").write_text(f"name: x\ncases: [{case}, {case}]")
    with pytest.raises(BadCaseError, match="x/a"):
        load_all(tmp_path)


# --- known failures ---------------------------------------------------------------------------------------------------


def _case(name: str) -> Listed:
    return next(listed for listed in load_all() if listed.name == name)


def _results(*failures: str) -> list[Result]:
    return [Result(MEMORY_PY, _case("errors/nobody there"), failure) for failure in failures]


def test_a_failure_that_is_not_known_is_wrong() -> None:
    verdict = judge(_results("broken"), [])
    assert not verdict.good
    assert any("FAILED errors/nobody there [memory py]" in line for line in report(_results("broken"), verdict))


def test_a_failure_that_is_known_is_told_and_not_wrong() -> None:
    verdict = judge(_results("broken"), read_known("memory * | errors/nobody* # it will be mended"))
    assert verdict.good
    assert "known to fail: errors/nobody there [memory py]" in list(report(_results("broken"), verdict))


def test_a_known_failure_that_passes_is_wrong() -> None:
    verdict = judge(_results(""), read_known("memory py | errors/nobody there"))
    assert not verdict.good
    assert any(line.startswith("PASSES, but is in") for line in report(_results(""), verdict))


def test_a_known_failure_of_nothing_is_wrong() -> None:
    known = read_known("# nothing\n\nredis * | errors/gone")
    assert not judge(_results(""), known).good
    assert judge(_results(""), known, whole=False).good


def test_a_pattern_means_other_combinations_not() -> None:
    assert not judge(_results("broken"), read_known("redis * | errors/*"), whole=False).good
