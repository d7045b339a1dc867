"""Lifting payloads of older schema versions to the one a handler understands (SPEC.md, section 13, "Versions")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tieline.context import Event
from tieline.errors import InvalidArgumentError, InvalidPayloadError
from tieline.prompt import check_prompt

Upcaster = tuple[str, str, Callable[[Any], Any]]


class Versions:
    """The schema version of a handler, and the steps that lead to it.

    Raises:
        InvalidArgumentError: the upcasters do not all lead to the version.

    """

    __slots__ = ("_steps", "version")

    def __init__(self, version: str, upcasters: Sequence[Upcaster]) -> None:
        self.version = version
        self._steps: dict[str, tuple[str, Callable[[Any], Any]]] = {}
        for since, to, lift in map(_checked, upcasters):
            if since in self._steps:
                raise InvalidArgumentError(f"two upcasters begin at schema version {since!r}")
            self._steps[since] = (to, lift)
        for since in self._steps:
            self._check_path(since)

    def lift(self, event: Event) -> Any:
        """The payload of an event, in the handler's version.

        Raises:
            InvalidPayloadError: there is no way to the handler's version, or an upcaster raised.

        """
        at, data = event.schema_version or self.version, event.data
        while at != self.version:
            step = self._steps.get(at)
            if step is None:
                raise InvalidPayloadError(self._unknown(at))
            try:
                data = step[1](data)
            except Exception as error:
                message = (
                    f"the upcaster from schema version {at!r} to {step[0]!r} raised {type(error).__name__}: {error}"
                )
                raise InvalidPayloadError(message) from error
            at = step[0]
        return data

    def _unknown(self, version: str) -> str:
        lifted = ", ".join(map(repr, self._steps)) or "no other"
        return f"the handler understands schema version {self.version!r} and lifts {lifted}, not {version!r}"

    def _check_path(self, since: str) -> None:
        at, seen = since, {since}
        while at != self.version:
            step = self._steps.get(at)
            if step is None or step[0] in seen:
                raise InvalidArgumentError(
                    f"the upcasters from schema version {since!r} do not lead to {self.version!r}, the handler's own"
                )
            at = step[0]
            seen.add(at)


def versions(version: str, upcasters: Sequence[Upcaster]) -> Versions | None:
    """What a subscription declared; None if it declared nothing."""
    if not isinstance(version, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"schema_version is text, not {version!r}")
    if not isinstance(upcasters, (list, tuple)):
        raise InvalidArgumentError(f"upcasters is a list of (from, to, function), not {upcasters!r}")
    if upcasters and not version:
        raise InvalidArgumentError("upcasters need schema_version: the version that the handler understands")
    return Versions(version, upcasters) if version else None


def _checked(upcaster: Upcaster) -> Upcaster:
    given = upcaster if isinstance(upcaster, (list, tuple)) and len(upcaster) == 3 else (None, None, None)  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison]
    since, to, lift = given
    if isinstance(since, str) and since and isinstance(to, str) and callable(lift):
        check_prompt(f"the upcaster from schema version {since!r} to {to!r}", lift)
        return since, to, lift
    raise InvalidArgumentError(f"an upcaster is (from, to, function), two versions and what lifts, not {upcaster!r}")
