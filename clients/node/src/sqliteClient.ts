import { isBuiltin } from "node:module";
import type { SqlClient } from "./durable/sqlIdempotency.js";
import { UnavailableError, UnsupportedError } from "./errors.js";

const BUSY_MS = 1000;
/** Not every Node has it, so the compiler does not look for it. */
const SQLITE: string = "node:sqlite";

/** What we use of it. */
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

  /** Throws UnsupportedError where this Node has no SQLite. */
  constructor(path: string) {
    if (!isBuiltin(SQLITE)) {
      const instead = "use redis:// or a client of PostgreSQL";
      throw new UnsupportedError(
        `this Node has no SQLite, which came with 22.5 and needs no flag since 22.13; ${instead}`,
      );
    }
    this.#path = path;
  }

  /** See `SqlClient.query`. Rejects with UnavailableError. */
  async query(text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
    this.#database ??= this.#open();
    try {
      const statement = (await this.#database).prepare(text);
      return { rows: statement.all(Object.fromEntries(values.map((value, at) => [`$${at + 1}`, value]))) };
    } catch (error) {
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
      const { DatabaseSync } = (await import(SQLITE)) as Sqlite;
      const database = new DatabaseSync(this.#path);
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`);
      return database;
    } catch (error) {
      this.#database = undefined;
      throw error;
    }
  }
}
