/** A promise in the background: whether it is settled, and how. */
export class Watched<T> {
  done = false;
  readonly settled: Promise<PromiseSettledResult<T>>;

  constructor(promise: Promise<T>) {
    this.settled = Promise.allSettled([promise]).then(([result]) => {
      this.done = true;
      return result;
    });
  }

  /** The value; rejects if the promise did. */
  async value(): Promise<T> {
    const result = await this.settled;
    if (result.status === "rejected") throw result.reason;
    return result.value;
  }
}

/** Resolves never. */
export function never(): Promise<never> {
  return new Promise(() => undefined);
}
