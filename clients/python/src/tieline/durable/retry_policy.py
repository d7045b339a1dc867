"""When a durable event whose handler failed is handled again (SPEC.md, section 14)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tieline._contract import contract
from tieline.errors import InvalidArgumentError

_LONGEST_SECONDS = 86_400 * 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a durable event is tried, and how long it waits in between. Its key waits with it.

    Attributes:
        max_attempts: handlings in all, the first one included.
        backoff: seconds before the second one at most, then twice as long each time …
        cap: … up to this.
        jitter: the pause is random between nothing and that; without, it is all of it.
        redrives: so often an event that became a dead letter all the same is put back by itself. What came back that
            often stays; so does what was rejected, has expired, does not fit its handler, or may end processes.
        redrive_after: seconds that it lies as a dead letter each time before.

    """

    max_attempts: int = contract.DEFAULT_MAX_ATTEMPTS
    backoff: float = contract.DEFAULT_BACKOFF_MS / 1000
    cap: float = contract.DEFAULT_BACKOFF_CAP_MS / 1000
    jitter: bool = True
    redrives: int = 0
    redrive_after: float = contract.DEFAULT_REDRIVE_AFTER_MS / 1000

    def __post_init__(self) -> None:
        _check_whole("max_attempts", self.max_attempts, 1)
        _check_seconds("backoff", self.backoff, 0)
        _check_seconds("cap", self.cap, 0)
        if self.backoff > self.cap:
            raise _wrong("backoff", "at most its cap", f"{self.backoff!r} and {self.cap!r}")
        if not isinstance(self.jitter, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _wrong("jitter", "True or False", f"{self.jitter!r:.80}")
        _check_whole("redrives", self.redrives, 0)
        _check_seconds("redrive_after", self.redrive_after, 1)

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        ceiling = min(self.cap, self.backoff * 2 ** min(failures - 1, 64))
        return random.uniform(0, ceiling) if self.jitter else ceiling  # noqa: S311 - jitter is no secret


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _wrong(name, f"a whole number of at least {least}", f"{value!r:.80}")


def _check_seconds(name: str, value: Any, least: int) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= _LONGEST_SECONDS:
        raise _wrong(name, f"in seconds, from {least} to {_LONGEST_SECONDS}", f"{value!r:.80}")


def _wrong(name: str, rule: str, given: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} of a retry policy is {rule}, not {given}")
