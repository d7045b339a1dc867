"""Testing services: event systems inside the test, a clock turned by hand, a recorder, and a network with faults.

async with testing.system() as events:
    shop.declare(events)
    await events.publish("order.placed", {"id": 7})
    events.recorder.assert_published("invoice.sent", {"order": 7})
    await events.clock.advance(60)

Nothing of it needs a server, a test framework, or time.
"""

from tieline.testing.clock import Clock
from tieline.testing.faults import Faults, Kind, Rule
from tieline.testing.recorder import Recorded, Recorder
from tieline.testing.system import Broker, System, system, use

__all__ = ["Broker", "Clock", "Faults", "Kind", "Recorded", "Recorder", "Rule", "System", "system", "use"]
