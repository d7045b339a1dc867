import { decode } from "../codec.js";

/** What a recorder answers, as it travels. */
export type Told = Record<string, unknown>;

/** What can have become of an event. */
export const STATUSES = ["pending", "processed", "failed"] as const;

/** What became of an event: stored and not handled by every group, done with, or a dead letter. */
export type HistoryStatus = (typeof STATUSES)[number];

/** Which events of history; all unless given. */
export interface HistorySelection {
  /** Topics or patterns. */
  readonly types?: string | readonly string[];
  /** Published at this moment or later … */
  readonly start?: Date;
  /** … and before that one. */
  readonly end?: Date;
  readonly status?: HistoryStatus;
  /** A service, or `service/instance`. */
  readonly source?: string;
}

/** How history is asked; times in milliseconds. */
export interface HistoryAskOptions {
  /** How long to wait for each answer; 30,000 unless given. */
  readonly ttl?: number;
}

/** Which events are listed. */
export interface HistoryListOptions extends HistorySelection, HistoryAskOptions {
  /** Which page of so many, from 1; one beyond the end is empty. The answer then has the total. */
  readonly page?: number;
  /** Instead of a page: go on where the last answer ended. */
  readonly cursor?: string;
  /** How many, at most 1,000; 50 unless given. */
  readonly limit?: number;
  /** The other way round. */
  readonly oldestFirst?: boolean;
}

/** Which events are deleted: those of these ids (at most 1,000), or all that fit. */
export interface HistoryDeleteOptions extends HistorySelection, HistoryAskOptions {
  readonly ids?: string | readonly string[];
}

/** What is replayed, and to whom: one of `toGroup` and `toTopic`. */
export interface HistoryReplayOptions extends HistorySelection {
  /** The name of a group; each event goes to one of its members. */
  readonly toGroup?: string;
  /** A topic of your own: what was stored is stored there, and the rest is live. */
  readonly toTopic?: string;
  /** A factor to the original pace, 1 unless given; null for as fast as it goes. */
  readonly speed?: number | null;
}

/** One event of history. */
export interface HistoryEvent {
  readonly id: string;
  /** Its topic. */
  readonly type: string;
  readonly key: string;
  readonly source: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly time: Date;
  /** Undefined for never. */
  readonly expiresAt: Date | undefined;
  readonly status: HistoryStatus;
  /** How often its handling was tried again before it failed. */
  readonly retryCount: number;
  /** Why it failed. */
  readonly errorMsg: string;
  readonly contentType: string;
  readonly schemaVersion: string;
  readonly priority: number;
  readonly hops: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The payload as it travelled; empty of what the system publishes. */
  readonly payload: Uint8Array;
  /** The payload, decoded. Throws InvalidPayloadError if it cannot be read. */
  readonly data: unknown;
  /** Where the broker stored it; empty for live events. */
  readonly stream: string;
  readonly entry: string;
  /** When it was written down. */
  readonly recordedAt: Date;
}

/** Some events. */
export interface HistoryPage {
  readonly events: HistoryEvent[];
  /** For those that come after them; empty if none do. */
  readonly cursor: string;
  /** How many there are, if a page was asked for. */
  readonly total: number | undefined;
}

/** How a recorder is doing. */
export interface RecorderFigures {
  /** Rows that it has written since its start … */
  readonly recorded: number;
  /** … in so many transactions. */
  readonly batches: number;
  /** Events that the database refuses for what they hold; they are missing in history. */
  readonly refused: number;
  /** Entries that are not in history yet, of all recorders. */
  readonly waiting: number;
  /** Milliseconds since the first of them happened. */
  readonly lag: number;
  /** Entries that were cut off before any recorder read them. */
  readonly lost: number;
  /** Why nothing can be written now; empty while all is well. */
  readonly trouble: string;
}

/** How history is doing. */
export interface HistoryFigures {
  /** What the store holds. */
  readonly events: number;
  readonly bytes: number;
  readonly oldest: Date | undefined;
  readonly newest: Date | undefined;
  readonly waiting: number;
  /** In milliseconds. */
  readonly lag: number;
  readonly lost: number;
  /** Each that answered, by its instance. */
  readonly recorders: Readonly<Record<string, RecorderFigures>>;
}

/** An event as a recorder told it, with all of its payload. */
export function eventOf(told: Told, payload: Uint8Array): HistoryEvent {
  const expires = told.expires_at as number;
  const contentType = told.content_type as string;
  return {
    id: told.id as string,
    type: told.type as string,
    key: told.key as string,
    source: told.source as string,
    correlationId: told.correlation_id as string,
    causationId: told.causation_id as string,
    time: new Date(told.time as number),
    expiresAt: expires === 0 ? undefined : new Date(expires),
    status: told.status as HistoryStatus,
    retryCount: told.retry_count as number,
    errorMsg: told.error_msg as string,
    contentType,
    schemaVersion: told.schema_version as string,
    priority: told.priority as number,
    hops: told.hops as number,
    headers: told.headers as Record<string, string>,
    payload,
    get data() {
      return payload.length === 0 ? null : decode(Buffer.from(payload), contentType);
    },
    stream: told.stream as string,
    entry: told.entry as string,
    recordedAt: new Date(told.recorded_at as number),
  };
}

/** What the recorders told, by their instances. */
export function figuresOf(told: readonly [string, Told][]): HistoryFigures {
  const recorders = Object.fromEntries(
    told.map(([instance, { recorder }]) => {
      const figures = recorder as unknown as RecorderFigures;
      return [instance, { ...figures, lag: Math.round(figures.lag * 1000) }];
    }),
  );
  const [one] = Object.values(recorders).sort((left, right) => right.lost - left.lost) as [RecorderFigures];
  const store = told.map(([, each]) => each.store as Record<string, number> | null).find((each) => each !== null);
  const moment = (at: number | undefined) => (at === undefined || !store?.rows ? undefined : new Date(at));
  return {
    events: store?.rows ?? 0,
    bytes: store?.bytes ?? 0,
    oldest: moment(store?.oldest),
    newest: moment(store?.newest),
    waiting: one.waiting,
    lag: one.lag,
    lost: one.lost,
    recorders,
  };
}
