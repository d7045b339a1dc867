"""When a durable event whose handler failed is handled again (SPEC.md, section 14)."""

from __future__ import annotations

import random
from dataclasses import dataclass

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
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.max_attempts, self.redrives))  # pyright: ignore[reportUnnecessaryIsInstance]
        given = (self.backoff, self.cap, self.redrive_after)
        seconds = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in given)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not (whole and seconds and self.max_attempts >= 1 and 0 <= self.backoff <= self.cap <= _LONGEST_SECONDS):
            raise InvalidArgumentError(
                f"a retry policy has at least 1 attempt and pauses 0 <= backoff <= cap in seconds, not {self!r}"
            )
        if not (self.redrives >= 0 and 1 <= self.redrive_after <= _LONGEST_SECONDS):
            raise InvalidArgumentError(
                f"a retry policy has at least 0 redrives, and redrive_after is from 1 s to 30 days, not {self!r}"
            )

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        ceiling = min(self.cap, self.backoff * 2 ** min(failures - 1, 64))
        return random.uniform(0, ceiling) if self.jitter else ceiling  # noqa: S311 - jitter is no secret
