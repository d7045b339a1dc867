/** Counts the local handlers of one event that its publisher waits for. */
export class Handled {
  #left = 0;
  #done: (() => void) | undefined;

  /** So many handlers were given the event. */
  expect(count: number): void {
    this.#left += count;
  }

  /** One of them is done. */
  one(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#done?.();
  }

  /** Resolves when all are done. */
  all(): Promise<void> {
    if (this.#left <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }
}
