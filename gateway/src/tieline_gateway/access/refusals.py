"""What the log tells of those who are turned away: why, and from where, however many they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import dataclass

_SECONDS = 10.0
_MOST_KINDS = 100


@dataclass(slots=True)
class _Kind:
    sentence: str
    level: int
    more: int = 0


class Refusals:
    """Logs the first of a kind at once, and then every ten seconds how many more there were.

    Args:
        log: where to.

    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: dict[Hashable, _Kind] = {}

    def tell(self, sentence: str, kind: Hashable, level: int = logging.WARNING) -> None:
        """Log a refusal, now or as one of many.

        Args:
            sentence: who was refused, and why; nothing secret.
            kind: those that are told together. Of very many kinds at a time the later ones are told together, too.
            level: of the line.

        """
        if kind not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            kind = None
        known = self._kinds.get(kind)
        if known is not None:
            known.sentence, known.more = sentence, known.more + 1
            return
        self._log.log(level, "%s", sentence)
        self._begin(kind, _Kind(sentence, level))

    def _begin(self, kind: Hashable, told: _Kind) -> None:
        self._kinds[kind] = told
        asyncio.get_running_loop().call_later(_SECONDS, self._sum, kind)

    def _sum(self, kind: Hashable) -> None:
        told = self._kinds.pop(kind)
        if told.more:
            self._log.log(told.level, "%s (the last of %d more within %g s)", told.sentence, told.more, _SECONDS)
            self._begin(kind, _Kind(told.sentence, told.level))
