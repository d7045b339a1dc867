"""When a failed call is tried again, and after which pause (SPEC.md, section 6, "Retries")."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tieline._contract import contract
from tieline.errors import InvalidArgumentError, TielineError
from tieline.prompt import check_prompt


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy.

    Attributes:
        attempts: tries in all, the first one included.
        base: the pause before the second try is at most so long (seconds), then twice as long each time …
        cap: … up to this.
        when: asked for other errors of an idempotent call, such as HandlerError; errors that are `retryable` need no
            permission.

    """

    attempts: int = contract.DEFAULT_ATTEMPTS
    base: float = contract.DEFAULT_RETRY_BASE_MS / 1000
    cap: float = contract.DEFAULT_RETRY_CAP_MS / 1000
    when: Callable[[TielineError], bool] | None = None

    def __post_init__(self) -> None:
        numbers = all(map(_is_number, (self.attempts, self.base, self.cap))) and isinstance(self.attempts, int)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not (numbers and self.attempts >= 1 and 0 <= self.base <= self.cap < 86_400):
            raise InvalidArgumentError(
                f"a retry policy has at least 1 attempt and pauses 0 <= base <= cap in seconds, not {self!r}"
            )

        if self.when is not None:
            check_prompt("when of a retry policy", self.when)

    def pause(self, made: int, error: TielineError) -> float | None:
        """Seconds to wait after so many tries and this error, chosen at random; None: do not try again."""
        allowed = error.retryable or (error.idempotent and self.when is not None and self.when(error))
        if made >= self.attempts or not allowed:
            return None
        ceiling = min(self.cap, self.base * 2 ** min(made - 1, 64))
        return max(random.uniform(0, ceiling), error.retry_after or 0.0)  # noqa: S311 - jitter is no secret


def _is_number(given: object) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool)
