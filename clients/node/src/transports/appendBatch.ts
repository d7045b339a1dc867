import type { Appended, Draft } from "../durable.js";

/** So many events, or bytes of them, are sent before the turn of the loop ends. */
export const TOGETHER = 64;
export const MANY_BYTES = 262_144;

/** Events of one topic that are stored by one question to the broker, and who waits for each of them. */
export class AppendBatch {
  readonly drafts: Draft[] = [];
  readonly #waiting: { count: number; resolve: (told: Appended[]) => void; reject: (error: unknown) => void }[] = [];

  constructor(
    readonly topic: string,
    readonly most: number,
    readonly together: boolean,
  ) {}

  /** Adds events; resolves to what became of them. */
  add(drafts: readonly Draft[]): Promise<Appended[]> {
    this.drafts.push(...drafts);
    return new Promise((resolve, reject) => this.#waiting.push({ count: drafts.length, resolve, reject }));
  }

  /** The broker has answered: what became of each, in order. */
  done(told: readonly Appended[]): void {
    let at = 0;
    for (const { count, resolve } of this.#waiting) {
      resolve(told.slice(at, at + count));
      at += count;
    }
  }

  /** Nobody knows, or nothing was stored. */
  fail(error: unknown): void {
    for (const { reject } of this.#waiting) reject(error);
  }
}
