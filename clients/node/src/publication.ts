/**
 * The promise of a publish. Awaited, it rejects as any promise does; if nobody looks at it, a failure is reported instead
 * of ending the process as an unhandled rejection.
 */
export class Publication<T> extends Promise<T> {
  #awaited = false;

  /** Promises derived from it are plain ones. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Follows a promise; `report` gets a failure that nobody awaits. */
  static of<T>(promise: Promise<T>, report: (error: unknown) => void): Publication<T> {
    const publication = new Publication<T>((resolve, reject) => promise.then(resolve, reject));
    promise.catch((error) => {
      // One turn later, so that whoever got it in this turn had the chance to await it.
      setImmediate(() => {
        if (!publication.#awaited) report(error);
      });
    });
    Promise.prototype.then.call(publication, undefined, () => undefined);
    return publication;
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#awaited = true;
    return super.then(fulfilled, rejected);
  }
}
