"""Tieline: services publish events to each other and call each other through events.

Over the Redis they already run, over a gateway, or inside one process; in Python, Node and anything with gRPC.
"""

from tieline.codec import Timestamp
from tieline.context import Event, current_event
from tieline.cron_job import CronJob, CronPage, CronRun
from tieline.cron_task import Misfire
from tieline.cron_tasks import CronTasks
from tieline.dead_letters import DeadLetter, DeadLetters, ParkedKeys
from tieline.default_system import (
    get_event_system,
    publish_event,
    publish_event_and_gather,
    publish_event_and_stream,
    publish_event_and_wait,
    publish_events,
)
from tieline.durable_delivery import DurableDelivery
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
from tieline.event_store import EventStore
from tieline.event_stores import event_store
from tieline.events import EventSystem
from tieline.gather import Failure, Gathered, Reply, Responder
from tieline.groups import Group, Groups
from tieline.histogram import Distribution
from tieline.history import History
from tieline.history_events import HistoryEvent, HistoryFigures, HistoryPage
from tieline.history_host import Recording
from tieline.history_replay import Replay, ReplayProgress
from tieline.idempotency import Handling, IdempotencyStore, Standing
from tieline.idempotency_stores import idempotency_store
from tieline.many import Item
from tieline.metrics import Figures, GroupMetrics, Metrics, SeriesMetrics
from tieline.middleware import Message, Middleware
from tieline.observe import Step, StepName
from tieline.outbox import Outbox
from tieline.outbox_entry import OutboxFigures
from tieline.publisher import Receipt
from tieline.recorder import RecorderFigures
from tieline.retry import Retry
from tieline.retry_policy import RetryPolicy
from tieline.schedule import ScheduleStatus
from tieline.schedules import Schedule, ScheduleFigures, SchedulePage, Schedules
from tieline.settings import Settings
from tieline.stream import Stream
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
