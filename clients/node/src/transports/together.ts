/** Things that are done together, and who waits for which of them. */
export class Together<Told> {
  readonly #waiting: { count: number; resolve: (told: Told[]) => void; reject: (error: unknown) => void }[] = [];

  /** So many things more; resolves to what became of them. */
  protected wait(count: number): Promise<Told[]> {
    return new Promise((resolve, reject) => this.#waiting.push({ count, resolve, reject }));
  }

  /** What became of each, in order. */
  done(told: readonly Told[]): void {
    let at = 0;
    for (const { count, resolve } of this.#waiting) {
      resolve(told.slice(at, at + count));
      at += count;
    }
  }

  /** Nobody knows, or nothing was done. */
  fail(error: unknown): void {
    for (const { reject } of this.#waiting) reject(error);
  }
}
