"""Against another server, what may talk to it is tested again, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = (
    "tests/transport_suite.py", "tests/unit/test_event_stores.py", "tests/unit/test_bad_input.py",
    "tests/gateway/cli/test_doctor.py",
)  # fmt: skip


def collected(*options: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *options, *FILES]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.partition("::")[2] for line in told.stdout.splitlines() if "::" in line}


def test_what_may_talk_to_a_server_is_tested_again() -> None:
    again = collected("--other-server")
    left_out = collected() - again
    assert "test_an_event_for_nobody_is_no_error[redis]" in again
    assert "test_an_event_for_nobody_is_no_error[memory]" in left_out
    assert "test_an_event_for_nobody_is_no_error[gateway+redis]" in left_out
    assert {name for name in again | left_out if "[redis]" in name or "[postgresql" in name} <= again
    assert "test_a_silent_server_is_told_within_5_seconds" in again  # by a fixture
    assert "test_a_script_that_hangs_is_told" in again  # starts one itself
    assert "test_a_database_that_can_never_keep_history_is_refused" in again
    assert "test_a_bad_pattern_is_refused[a b]" in left_out
