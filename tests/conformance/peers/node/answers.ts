// What became of a command, as the program saw it.
import {
  type CronJob,
  type Explanation,
  type Gathered,
  type Metrics,
  type Receipt,
  type Replay,
  type Responder,
  type Schedule,
  type Stream,
  TielineError,
} from "tieline";
import { Answer, Failure, Gave, Job, type Receipt as WireReceipt } from "./contract/peer.js";
import type { Value } from "./contract/value.js";
import { fromNative } from "./values.js";

type What = NonNullable<Answer["what"]>;

/** An answer without a number. */
export function answer(what: What): Answer {
  return Answer.fromPartial({ what });
}

/** All that can be known of an error. */
export function failure(error: unknown): Answer {
  return answer({ $case: "failure", value: failed(error) });
}

/** The next items of a stream, so many (0: all) or up to its end, each as it is to be shown. */
export async function read(
  stream: Pick<Stream | Replay, "next">,
  count: number,
  shown: (item: unknown) => unknown,
): Promise<Answer> {
  const values: Value[] = [];
  try {
    while (count === 0 || values.length < count) {
      const { done, value } = await stream.next();
      if (done) return answer({ $case: "items", value: { values, ended: true, failure: undefined } });
      values.push(fromNative(shown(value)));
    }
  } catch (error) {
    return answer({ $case: "items", value: { values, ended: false, failure: failed(error) } });
  }
  return answer({ $case: "items", value: { values, ended: false, failure: undefined } });
}

/** What a publish resolved to. */
export function receiptOf(receipt: Receipt): Answer {
  return answer({ $case: "receipt", value: told(receipt) });
}

/** What a publish of many returned. */
export function receiptsOf(receipts: readonly Receipt[]): Answer {
  return answer({ $case: "receipts", value: { receipts: receipts.map(told) } });
}

function told({ id, correlationId, stored, due, overdue = false }: Receipt): WireReceipt {
  return { id, correlationId, stored: stored && { ...stored }, planned: due !== undefined, overdue };
}

/** What is known of a planned event. */
export function scheduledOf(schedule: Schedule): Answer {
  const { id, status, topic, key, durable, priority, attempts, error, ended, event } = schedule;
  const rest = { durable, priority, attempts, error, ended: ended !== undefined };
  return answer({ $case: "scheduled", value: { id, status, topic, key, ...rest, data: fromNative(event.data) } });
}

/** What is known of a cron task. */
export function jobOf({ last, next, data, name, expression, zone, topic, key, call, paused, runs }: CronJob): Answer {
  const task = { name, expression, zone, topic, key, call, paused, runs, next: next !== undefined };
  const run = { status: last?.status ?? "", attempts: last?.attempts ?? 0, error: last?.error?.code ?? "" };
  const payloads = { data: fromNative(data ?? null), reply: fromNative(last?.reply ?? null) };
  return answer({ $case: "job", value: Job.fromPartial({ ...task, ...run, ...payloads }) });
}

/** What `runNow` returned. */
export function ranOf(id: string): Answer {
  return answer({ $case: "job", value: Job.fromPartial({ id }) });
}

/** What everybody said. */
export function gathered(everybody: Gathered): Answer {
  const gave = (responder: Responder, what: Partial<Gave>) => Gave.fromPartial({ ...responder, ...what });
  const replies = everybody.replies.map(({ responder, value }) => gave(responder, { value: fromNative(value) }));
  const errors = everybody.errors.map(({ responder, error }) => gave(responder, { failure: failed(error) }));
  const missing = everybody.missing.map(({ responder, error }) => gave(responder, { failure: failed(error) }));
  return answer({ $case: "gathered", value: { replies, errors, missing } });
}

/** Where something went. */
export function explained(explanation: Explanation): Answer {
  const steps = explanation.steps.map(({ name, source, topic, detail }) => ({
    name,
    source,
    topic,
    detail: fromNative(detail),
  }));
  return answer({ $case: "explanation", value: { steps, missing: explanation.missing.length } });
}

/** What was counted of a topic. */
export function figuresOf({ series }: Metrics, topic: string, exposition: string): Answer {
  const told = series
    .filter((one) => one.topic === topic)
    .map((one) => ({
      kind: one.kind,
      group: one.group,
      total: one.totalEvents,
      published: one.publishedEvents,
      pending: one.pendingEvents,
      delivered: one.deliveredEvents,
      succeeded: one.successEvents,
      failed: one.failedEvents,
      expired: one.expiredEvents,
      cancelled: one.cancelledEvents,
      dropped: one.droppedEvents,
      redelivered: one.redeliveredEvents,
      retried: one.retriedEvents,
      skipped: one.skippedEvents,
      deadLetters: one.deadLetters,
      parkedKeys: one.parkedKeys,
      queueTimes: one.queueTime.count,
      handleTimes: one.handleTime.count,
      roundTrips: one.roundTrip.count,
    }));
  const lines = exposition.split(/(?<=\n)/);
  const read = lines.filter((line) => line.startsWith("#") || line.includes(`topic="${topic}"`));
  return answer({ $case: "figures", value: { series: told, topic, exposition: read.join("") } });
}

function failed(error: unknown): Failure {
  const className = error instanceof Error ? error.constructor.name : typeof error;
  if (!(error instanceof TielineError)) return Failure.fromPartial({ className, message: String(error) });
  const { code, message, outcome, type, fromWire, retryable, retryAfter } = error;
  const known = { code, message, outcome, type, fromWire, retryable, className, details: fromNative(error.details) };
  return Failure.fromPartial({ ...known, retryAfterMs: retryAfter });
}
