"""A program in Python that publishes an event and calls two services, whatever they are written in.

TIELINE_URL=redis://localhost python examples/python_client.py
"""

import asyncio

from tieline import EventSystem, NoRespondersError, TielineError


async def main() -> None:
    """Publish, call, and see what failure looks like."""
    async with EventSystem() as events:
        total = await events.publish_and_wait("calculate.sum", [1, 2, 3, 4, 5], wait_for_responders=10)
        print(f"calculate.sum: {total}")

        answer = await events.publish_and_wait("ai.request", {"query": "tie line"}, ttl=5, wait_for_responders=10)
        print(f"ai.request: {answer}")

        await events.publish("user.created", {"id": 123})

        try:
            await events.publish_and_wait("nobody.home", None)
        except NoRespondersError as error:
            print(f"nobody.home: {error.code}, {error.outcome}")

        try:
            await events.publish_and_wait("calculate.sum", ["one", "two"])
        except TielineError as error:
            print(f"calculate.sum: {error.code}, {error.outcome}")


if __name__ == "__main__":
    asyncio.run(main())
