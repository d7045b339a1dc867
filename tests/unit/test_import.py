"""What `import tieline` needs, and what is imported only by who uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
sys.modules[{name!r}] = None
import tieline
tieline.EventSystem({url!r})
tieline.idempotency_store("memory://")
"""


@pytest.mark.parametrize(
    ("name", "url"),
    [("sqlite3", "redis://host"), ("grpc", "redis://host"), ("redis", "memory://"), ("hiredis", "memory://")],
)
def test_what_is_not_used_need_not_be_there(name: str, url: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE.format(name=name, url=url)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
