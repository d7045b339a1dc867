import { UnavailableError, UnsupportedError } from "./errors.js";
import type { SqlClient } from "./sqlIdempotency.js";

const BUSY_MS = 1000;

/** What we use of `node:sqlite`, which not every Node has. */
interface Sqlite {
  DatabaseSync: new (path: string) => Database;
}
interface Database {
  exec(text: string): void;
  prepare(text: string): { all(values: Record<string, unknown>): unknown[] };
  close(): void;
}

/** A SQLite file; each statement is committed to the disk. It is opened with the first one. */
export class SqliteClient implements SqlClient {
  readonly #path: string;
  #database: Promise<Database> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** See `SqlClient.query`. Rejects with UnavailableError or, where this Node has no SQLite, UnsupportedError. */
  async query(text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
    this.#database ??= this.#open();
    try {
      const statement = (await this.#database).prepare(text);
      return { rows: statement.all(Object.fromEntries(values.map((value, at) => [`$${at + 1}`, value]))) };
    } catch (error) {
      if (error instanceof UnsupportedError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new UnavailableError(`the file ${this.#path} cannot be used: ${why}`, { outcome: "NOT_DELIVERED" });
    }
  }

  /** Closes the file; the next statement opens it again. Idempotent. */
  async close(): Promise<void> {
    const opened = this.#database;
    this.#database = undefined;
    await opened?.then((database) => database.close()).catch(() => undefined);
  }

  async #open(): Promise<Database> {
    try {
      const database = new (await sqlite()).DatabaseSync(this.#path);
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`);
      return database;
    } catch (error) {
      this.#database = undefined;
      throw error;
    }
  }
}

/** Node's own SQLite, from 22.5 on. Rejects with UnsupportedError. */
async function sqlite(): Promise<Sqlite> {
  const name = "node:sqlite"; // a name that the compiler does not look for
  try {
    return (await import(name)) as Sqlite;
  } catch {
    throw new UnsupportedError(
      "this Node has no SQLite, which came with 22.5; use redis:// or a client of PostgreSQL as the idempotency store",
    );
  }
}
