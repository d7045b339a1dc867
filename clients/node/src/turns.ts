const UNBROKEN = 128;

/** Says now and then that the event loop must turn: whoever never waits, as all within a process may, lets nobody else run. */
export class Turns {
  #unbroken = 0;

  /** Whether it must turn now. */
  due(): boolean {
    this.#unbroken = (this.#unbroken + 1) % UNBROKEN;
    return this.#unbroken === 0;
  }
}

/** Resolves when it has turned. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
