import { TielineError, UnavailableError } from "../errors.js";
import { checkWindow, DEFAULT_WINDOW, type Handling, type IdempotencyStore, type Standing } from "./idempotency.js";

const SWEEP_MS = 60_000;

/** What runs one statement with numbered values and commits it: a pool of `pg`, for one. */
export interface SqlClient {
  /** Resolves to the rows that the statement returns; columns by name. */
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
}

/** What databases say differently. */
export interface SqlDialect {
  /** The table; it is made if it does not exist. */
  readonly table: string;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: string;
}

/** A PostgreSQL database. */
export const POSTGRES: SqlDialect = {
  table: "tieline_handlings",
  now: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
};

/** A SQLite file, with the table that the Python client uses too. */
export const SQLITE: SqlDialect = { table: "handlings", now: "CAST(unixepoch('subsec') * 1000 AS BIGINT)" };

/**
 * Remembers in a table of a SQL database; `owner` is empty for what is done. Each question is one statement, so that it
 * needs no transaction and any client will do.
 */
export class SqlIdempotencyStore implements IdempotencyStore {
  readonly #client: SqlClient;
  readonly #window: number;
  readonly #text: ReturnType<typeof statements>;
  readonly #close: () => Promise<void>;
  /** What was said when the table was made: nothing, or an error. */
  #made: Promise<unknown> | undefined;
  #sweptAt = -Infinity;

  /** `window` is in milliseconds; `close` ends a client that is the store's own. Throws InvalidArgumentError. */
  constructor(client: SqlClient, window = DEFAULT_WINDOW, dialect = POSTGRES, close = async () => {}) {
    this.#client = client;
    this.#window = checkWindow(window);
    this.#text = statements(dialect);
    this.#close = close;
  }

  /** See `IdempotencyStore.begin`. */
  async begin({ group, topic, id }: Handling, owner: string, leaseMs: number): Promise<Standing> {
    await this.#sweep();
    const begun = await this.#run(this.#text.begin, group, topic, id, owner, Math.ceil(leaseMs));
    if (begun.length > 0) return "begun";
    const [row] = await this.#run(this.#text.owner, group, topic, id);
    return (row as { owner: unknown } | undefined)?.owner === "" ? "done" : "busy"; // without a row it was over just now
  }

  /** See `IdempotencyStore.done`. */
  async done({ group, topic, id }: Handling): Promise<void> {
    await this.#run(this.#text.done, group, topic, id, this.#window);
  }

  /** See `IdempotencyStore.giveUp`. */
  async giveUp({ group, topic, id }: Handling, owner: string): Promise<void> {
    await this.#run(this.#text.giveUp, group, topic, id, owner);
  }

  /** Closes a file of its own; a client that was given is its owner's. Idempotent. */
  async close(): Promise<void> {
    this.#made = undefined;
    await this.#close();
  }

  async #sweep(): Promise<void> {
    if (Date.now() - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = Date.now();
    await this.#run(this.#text.sweep);
  }

  async #run(text: string, ...values: unknown[]): Promise<readonly unknown[]> {
    // Who may not make the table, or was not the first to make it, may still use it.
    this.#made ??= this.#client.query(this.#text.create, []).then(
      () => undefined,
      (error: unknown) => error,
    );
    const hindrance = await this.#made;
    try {
      return (await this.#client.query(text, values)).rows;
    } catch (error) {
      this.#made = undefined;
      throw unusable(hindrance ?? error);
    }
  }
}

function unusable(error: unknown): TielineError {
  if (error instanceof TielineError) return error;
  const why = error instanceof Error ? error.message || error.name : String(error);
  const message = `the idempotency store's database cannot be used: ${why}`;
  return new UnavailableError(message, { outcome: "NOT_DELIVERED", cause: error });
}

const COLUMNS = "subscription_group, topic, id";
const THIS = "subscription_group = $1 AND topic = $2 AND id = $3";

function statements({ table, now }: SqlDialect) {
  const after = (value: string) => `${now} + CAST(${value} AS BIGINT)`;
  const put = `INSERT INTO ${table} (${COLUMNS}, owner, ends)`;
  const instead = `ON CONFLICT (${COLUMNS}) DO UPDATE SET owner = excluded.owner, ends = excluded.ends`;
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (
      subscription_group TEXT NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, ends BIGINT NOT NULL,
      PRIMARY KEY (${COLUMNS})
    )`,
    begin: `${put} VALUES ($1, $2, $3, $4, ${after("$5")}) ${instead}
      WHERE ${table}.ends <= ${now} OR ${table}.owner = excluded.owner RETURNING owner`,
    owner: `SELECT owner FROM ${table} WHERE ${THIS} AND ends > ${now}`,
    done: `${put} VALUES ($1, $2, $3, '', ${after("$4")}) ${instead}`,
    giveUp: `DELETE FROM ${table} WHERE ${THIS} AND owner = $4`,
    sweep: `DELETE FROM ${table} WHERE ends <= ${now}`,
  };
}
