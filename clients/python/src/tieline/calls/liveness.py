"""Which responders one should ask after, and what their silence means (SPEC.md, section 6, "Lost")."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tieline.calls.call import NO_MOMENT, Call, State


def suspects(calls: Iterable[Call], oldest: float) -> set[str]:
    """Responders that have held a call since before `oldest`; the calls are in the order of their attempts."""
    found: set[str] = set()
    for call in calls:
        if call.started > oldest:
            break
        if call.state is State.HELD and call.instance:
            found.add(call.instance)
    return found


def why_lost(call: Call, silent: Collection[str], expired: Collection[str], now: float, confirm: float) -> str:
    """Why the call's responder must be gone, or nothing. `confirm`: seconds between two silences."""
    if call.instance in expired:
        return "its lease ended"
    if call.instance not in silent:
        call.silent_since = NO_MOMENT
    elif not call.silent_since:
        call.silent_since = now
    elif now - call.silent_since >= confirm:
        return "its process no longer listens"
    return ""
