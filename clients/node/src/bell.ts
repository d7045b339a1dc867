/** Something that several may wait for. Rung, it sounds until it is muted. */
export class Bell {
  #sounds = false;
  #waiting: (() => void)[] = [];

  /** Whether it sounds. */
  get sounds(): boolean {
    return this.#sounds;
  }

  /** Lets all go on who wait, and who come until it is muted. */
  ring(): void {
    this.#sounds = true;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Whoever comes now waits. */
  mute(): void {
    this.#sounds = false;
  }

  /** Resolves when it sounds. */
  heard(): Promise<void> {
    return this.#sounds ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}
