// History and replays, as a program asks for them.
import type {
  EventSystem,
  HistoryEvent,
  HistoryFigures,
  HistoryReplayOptions,
  HistorySelection,
  Replay,
  ReplayProgress,
} from "tieline";
import { answer } from "./answers.js";
import {
  type Answer,
  HistoryAct,
  Recorded,
  type Recorders,
  type Row,
  type Selection,
  type History as WantedHistory,
  type Replay as WantedReplay,
} from "./contract/peer.js";
import { given } from "./options.js";
import { fromNative } from "./values.js";

/** Asks for history. */
export async function askHistory({ history }: EventSystem, wanted: WantedHistory): Promise<Answer> {
  const { ids, page, cursor, limit, oldestFirst } = wanted;
  const selection = selectionOf(wanted.selection);
  switch (wanted.act) {
    case HistoryAct.HISTORY_ACT_LIST: {
      const told = await history.list({ ...selection, ...given({ page, cursor, limit, oldestFirst }) });
      return recorded({ rows: told.events.map(rowOf), cursor: told.cursor, total: told.total });
    }
    case HistoryAct.HISTORY_ACT_GET:
      return recorded({ rows: [rowOf(await history.get(ids[0] as string))] });
    case HistoryAct.HISTORY_ACT_DELETE:
      return recorded({ deleted: await history.delete({ ...selection, ...(ids.length > 0 && { ids }) }) });
    case HistoryAct.HISTORY_ACT_FIGURES:
      return recorded({ recorders: recordersOf(await history.figures()) });
    default:
      throw new TypeError("an unknown act");
  }
}

/** Begins a replay. */
export function replay({ history }: EventSystem, { selection, toGroup, toTopic, speed }: WantedReplay): Replay {
  const options: HistoryReplayOptions = { ...selectionOf(selection), ...given({ toGroup, toTopic }) };
  return history.replay({ ...options, speed: speed ?? null });
}

/** How far a replay was in the end. */
export function replayedOf({ id, sent, skipped, total, done }: ReplayProgress): Answer {
  return answer({ $case: "replayed", value: { id, sent, skipped, total, done } });
}

/** What of a replay's progress is the same each time. */
export function progressOf({ sent, skipped, total, done }: ReplayProgress): unknown {
  return { sent, skipped, total, done };
}

function recorded(what: Partial<Recorded>): Answer {
  return answer({ $case: "recorded", value: Recorded.fromPartial(what) });
}

function selectionOf(wanted: Selection | undefined): HistorySelection {
  if (wanted === undefined) return {};
  const { types, start, end, status, source } = wanted;
  const moments = given({ start: momentOf(start), end: momentOf(end) });
  return { ...given({ status, source }), ...moments, ...(types.length > 0 && { types }) } as HistorySelection;
}

function momentOf(given: string | undefined): Date | undefined {
  return given === undefined ? undefined : new Date(Number(given));
}

function rowOf(event: HistoryEvent): Row {
  const { id, type: topic, status, key, source, correlationId, causationId, retryCount: retries, errorMsg } = event;
  const { contentType, schemaVersion, priority, hops, headers, data, expiresAt, time, stream, entry } = event;
  return {
    ...{ id, topic, status, key, source, correlationId, causationId, retries, error: errorMsg },
    ...{ contentType, schemaVersion, priority, hops, headers: { ...headers }, data: fromNative(data) },
    ...{ time: String(time.getTime()), expires: expiresAt !== undefined, stored: stream !== "" && entry !== "" },
  };
}

function recordersOf({ events, bytes, oldest, newest, lost, recorders }: HistoryFigures): Recorders {
  const all = Object.values(recorders);
  const filled = events > 0 && bytes > 0 && oldest !== undefined && newest !== undefined;
  return { count: all.length, filled, lost, trouble: all.some(({ trouble }) => trouble !== "") };
}
