"""A peer in Python that lies, as `lying_peer.py KIND`; for the tests of the runner."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from tests.conformance._contract.value_pb2 import Value
from tests.conformance.peers.python import __main__ as peer
from tests.conformance.peers.python import answers, handling, values

to_native, from_native = values.to_native, values.from_native


def smuggled_to(value: Value) -> Any:
    """Large integers travel as text …"""
    native = to_native(value)
    return f"int:{native}" if type(native) is int and abs(native) > 2**53 else native


def smuggled_from(native: Any, key: str = "") -> Value:
    """… and are shown as integers again."""
    is_smuggled = isinstance(native, str) and native.startswith("int:")
    return from_native(int(native[4:]) if is_smuggled else native, key)


def rounded_from(native: Any, key: str = "") -> Value:
    """Integers are shown as a double would hold them."""
    return from_native(int(float(native)) if type(native) is int else native, key)


def typeless_from(native: Any, key: str = "") -> Value:
    """Everything is shown as if it had arrived as text."""
    value = from_native(native, key)
    value.native = "str"
    return value


def retryable(error: BaseException) -> Any:
    """Every error is shown as retryable."""
    failure = answers_failure(error)
    failure.retryable = True
    return failure


answers_failure = answers.failure
LIES = {
    "smuggle": {"to_native": smuggled_to, "from_native": smuggled_from},
    "round": {"from_native": rounded_from},
    "typeless": {"from_native": typeless_from},
    "retryable": {"failure": retryable},
    "silent": {},
}


class SilentPeer(peer.Peer):
    """Does everything and says nothing of its handlers."""

    def tell(self, report: Any) -> None:
        if report.WhichOneof("report") not in ("delivered", "ended"):
            super().tell(report)


if __name__ == "__main__":
    for name, lie in LIES[sys.argv[1]].items():
        for module in (peer, handling, answers):
            if hasattr(module, name):
                setattr(module, name, lie)
    private = os.dup(1)
    os.dup2(2, 1)
    kind = SilentPeer if sys.argv[1] == "silent" else peer.Peer
    asyncio.run(kind(private).serve())
