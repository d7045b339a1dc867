// What a program needs: the event system and its module functions.

// What a handler needs.
export type { BatchOptions } from "./batch.js";
export { type Failure, Gathered, type Reply, type Responder } from "./calls/gather.js";
export type { CallOptions, StreamOptions } from "./calls/requester.js";
export type { Retry } from "./calls/retry.js";
export { Stream } from "./calls/stream.js";
export type { AskOptions, GatherOptions } from "./calls/surveyor.js";
export type { Clock, Timer } from "./clock.js";
export { currentEvent, Event } from "./context.js";
// Names that all languages share.
export {
  CRON_TASK_COMPLETED,
  CRON_TASK_CREATED,
  CRON_TASK_DELETED,
  CRON_TASK_EXECUTED,
  CRON_TASK_FAILED,
  CRON_TASK_UPDATED,
  DATA_CREATED,
  DATA_DELETED,
  DATA_UPDATED,
  PRIORITY_CRITICAL,
  PRIORITY_HIGH,
  PRIORITY_LOW,
  PRIORITY_NORMAL,
  SYSTEM_ERROR,
  SYSTEM_SHUTDOWN,
  SYSTEM_STARTUP,
  SYSTEM_WARNING,
  USER_LOGIN,
  USER_LOGOUT,
  USER_REGISTERED,
} from "./contract/contract.js";
export type {
  DeadLetterErrorPayload,
  DeliveryStoppedWarningPayload,
  GapWarningPayload,
  HandlerErrorPayload,
  LoopBlockedWarningPayload,
  OverloadWarningPayload,
  ParkedErrorPayload,
  ShutdownPayload,
  SkippedErrorPayload,
  SlowConsumerWarningPayload,
  StartupPayload,
  SystemErrorPayload,
  SystemWarningPayload,
} from "./contract/systemEvents.js";
export type { CronTaskChanged, CronTaskEnded, CronTaskExecuted } from "./cron/events.js";
export type { CronJob, CronPage, CronRun } from "./cron/job.js";
export type { CronChanges, CronOptions } from "./cron/options.js";
export type { Misfire } from "./cron/task.js";
export type { CronListOptions, CronTasks } from "./cron/tasks.js";
export {
  getEventSystem,
  publishEvent,
  publishEventAndGather,
  publishEventAndStream,
  publishEventAndWait,
  publishEvents,
} from "./defaultSystem.js";
export type {
  DeadLetter,
  DeadLetters,
  InGroup,
  LetterChoice,
  LetterEditOptions,
  LetterFilter,
  LetterListOptions,
  ParkedKeys,
} from "./durable/deadLetters.js";
export type { DurableDelivery } from "./durable/delivery.js";
export type { DurableOptions } from "./durable/durability.js";
export type { Group, Groups } from "./durable/groups.js";
export type { Handling, IdempotencyStore, MemoryIdempotencyStore, Standing } from "./durable/idempotency.js";
export { type IdempotencyStoreOptions, idempotencyStore } from "./durable/idempotencyStores.js";
export type {
  AppendOptions,
  Claimed,
  Draft,
  Entry,
  GroupFigures,
  Leased,
  Letter,
  Mail,
  Member,
  Redriven,
  Settlement,
  Stored,
  Verdict,
} from "./durable/mail.js";
export type { Item, ManyOptions } from "./durable/many.js";
export type { RetryPolicy } from "./durable/retryPolicy.js";
export type { SqlClient, SqlIdempotencyStore } from "./durable/sqlIdempotency.js";
// What can go wrong.
export * from "./errors.js";
export { EventSystem } from "./events.js";
export { Explanation, type TrailStep } from "./explain/explain.js";
export type { Distribution } from "./figures/histogram.js";
// What is counted.
export type { Figures, GroupMetrics, Metrics, SeriesMetrics } from "./figures/metrics.js";
export type {
  HistoryAskOptions,
  HistoryDeleteOptions,
  HistoryEvent,
  HistoryFigures,
  HistoryListOptions,
  HistoryPage,
  HistoryReplayOptions,
  HistorySelection,
  HistoryStatus,
  RecorderFigures,
} from "./history/events.js";
export type { History } from "./history/history.js";
export type { Replay, ReplayProgress } from "./history/replay.js";
export type { JsonSchema } from "./jsonSchema.js";
export type { Logger } from "./log.js";
// What stands around publishes and handlers.
export type { HandleNext, Message, Middleware, PublishNext } from "./middleware.js";
// What can be watched.
export type { Observer, Step, StepName } from "./observe.js";
export type { OutboxFigures } from "./outbox/entry.js";
export type { Outbox } from "./outbox/outbox.js";
export { CONTENT_TYPE, exposition, type PrometheusOptions } from "./prometheus.js";
export type { Receipt } from "./publisher.js";
export type { PublishOptions } from "./publishOptions.js";
export type {
  Agenda,
  Fired,
  Firing,
  Plan,
  Planned,
  PlannedPage,
  ScheduleStatus,
  Told,
  Way,
} from "./schedules/agenda.js";
export type { When } from "./schedules/planner.js";
export type { Schedule, ScheduleFigures, ScheduleListOptions, SchedulePage, Schedules } from "./schedules/schedules.js";
export type { Service, Subscribed } from "./services.js";
export { DEFAULT_SETTINGS, type Settings } from "./settings.js";
export type { SchemaConverter, SchemaIssue, SchemaResult, StandardSchema } from "./standardSchema.js";
export type { BatchSubscribeOptions, Handler, OnGap, SubscribeOptions, Subscription } from "./subscription.js";
export type { EventSystemOptions } from "./systemOptions.js";
export { Timestamp } from "./timestamp.js";
// The seam, for transports of one's own and for several systems in one process.
export type { Gap, Interest, Place, Port, Probed, Receiver, Transport } from "./transport.js";
export { Route } from "./transport.js";
export { MemoryBroker, MemoryTransport } from "./transports/memory.js";
export type { RedisIdempotencyStore } from "./transports/redisIdempotency.js";
export type { Upcaster, VersionOptions } from "./versions.js";
