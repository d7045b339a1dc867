"""Tieline: services publish events to each other and call each other through events.

Over the Redis they already run, over a gateway, or inside one process; in Python, Node and anything with gRPC.
"""

from tieline.calls.gather import Failure, Gathered, Reply, Responder
from tieline.calls.retry import Retry
from tieline.calls.stream import Stream
from tieline.codec import Timestamp
from tieline.context import Event, current_event
from tieline.cron.job import CronJob, CronPage, CronRun
from tieline.cron.task import Misfire
from tieline.cron.tasks import CronTasks
from tieline.default_system import (
    get_event_system,
    publish_event,
    publish_event_and_gather,
    publish_event_and_stream,
    publish_event_and_wait,
    publish_events,
)
from tieline.durable.dead_letters import DeadLetter, DeadLetters, ParkedKeys
from tieline.durable.delivery import DurableDelivery
from tieline.durable.groups import Group, Groups
from tieline.durable.idempotency import Handling, IdempotencyStore, Standing
from tieline.durable.idempotency_stores import idempotency_store
from tieline.durable.many import Item
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import (
    AlreadyExistsError,
    CallCancelledError,
    CallTimeoutError,
    ConflictError,
    ExpiredError,
    HandlerError,
    InternalError,
    InvalidArgumentError,
    InvalidPayloadError,
    InvalidTopicError,
    LoopDetectedError,
    NoRespondersError,
    NotFoundError,
    Outcome,
    OverloadedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ResponderLostError,
    TielineError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from tieline.events import EventSystem
from tieline.figures.histogram import Distribution
from tieline.figures.metrics import Figures, GroupMetrics, Metrics, SeriesMetrics
from tieline.history.events import HistoryEvent, HistoryFigures, HistoryPage
from tieline.history.history import History
from tieline.history.host import Recording
from tieline.history.recorder import RecorderFigures
from tieline.history.replay import Replay, ReplayProgress
from tieline.history.store import EventStore
from tieline.history.stores import event_store
from tieline.middleware import Message, Middleware
from tieline.observe import Step, StepName
from tieline.outbox.entry import OutboxFigures
from tieline.outbox.outbox import Outbox
from tieline.publisher import Receipt
from tieline.schedules.agenda import ScheduleStatus
from tieline.schedules.schedules import Schedule, ScheduleFigures, SchedulePage, Schedules
from tieline.settings import Settings
from tieline.subscription import Subscription

__all__ = [  # noqa: RUF022 - grouped by what they are for
    # the system
    "EventSystem",
    "DeadLetter",
    "DeadLetters",
    "Distribution",
    "DurableDelivery",
    "EventStore",
    "Failure",
    "Figures",
    "Gathered",
    "Group",
    "GroupMetrics",
    "Groups",
    "Handling",
    "History",
    "HistoryEvent",
    "HistoryFigures",
    "HistoryPage",
    "IdempotencyStore",
    "Item",
    "Metrics",
    "Outbox",
    "OutboxFigures",
    "ParkedKeys",
    "Receipt",
    "RecorderFigures",
    "Recording",
    "Replay",
    "ReplayProgress",
    "Reply",
    "Responder",
    "Retry",
    "RetryPolicy",
    "CronJob",
    "CronPage",
    "CronRun",
    "CronTasks",
    "Misfire",
    "Schedule",
    "ScheduleFigures",
    "SchedulePage",
    "ScheduleStatus",
    "Schedules",
    "SeriesMetrics",
    "Settings",
    "Stream",
    "Standing",
    "Subscription",
    "event_store",
    "get_event_system",
    "idempotency_store",
    "publish_event",
    "publish_event_and_gather",
    "publish_event_and_stream",
    "publish_event_and_wait",
    "publish_events",
    # inside handlers
    "Event",
    "Timestamp",
    "current_event",
    # around them
    "Message",
    "Middleware",
    "Step",
    "StepName",
    # errors
    "AlreadyExistsError",
    "CallCancelledError",
    "CallTimeoutError",
    "ConflictError",
    "ExpiredError",
    "HandlerError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidPayloadError",
    "InvalidTopicError",
    "LoopDetectedError",
    "NoRespondersError",
    "NotFoundError",
    "Outcome",
    "OverloadedError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ResponderLostError",
    "TielineError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedError",
]
