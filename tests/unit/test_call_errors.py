"""What the errors of calls say, and what they advise."""

from __future__ import annotations

import pytest

from tieline import EventSystem, NoRespondersError, testing
from tieline.transports.memory import MemoryBroker, MemoryTransport

ELSEWHERE = "with TIELINE_URL others are reached too"


async def refusals(system: EventSystem) -> list[str]:
    """What a call and a gather say that nobody answers."""
    messages = list[str]()
    for ask in (system.publish_and_wait, system.publish_and_gather):
        with pytest.raises(NoRespondersError, match=r"nobody answers 'nobody\.home'") as caught:
            await ask("nobody.home")
        messages.append(caught.value.message)
    return messages


async def test_where_nobody_answers_over_memory_it_is_said_how_far_that_reaches() -> None:
    async with EventSystem("memory://") as system:
        assert all(ELSEWHERE in message for message in await refusals(system))
        with pytest.raises(NoRespondersError, match=r"after 0\.01 s: start") as caught:
            await system.publish_and_wait("nobody.home", wait_for_responders=0.01)
        assert ELSEWHERE in caught.value.message
        assert "wait_for_responders" not in caught.value.message


async def test_where_others_are_reached_otherwise_nobody_is_sent_to_a_url(redis_url: str) -> None:
    async with (
        EventSystem(redis_url) as redis,
        EventSystem(transport=MemoryTransport(MemoryBroker())) as shared,
        testing.system() as tested,
    ):
        for system in (redis, shared, tested):
            assert not any(ELSEWHERE in message for message in await refusals(system))
