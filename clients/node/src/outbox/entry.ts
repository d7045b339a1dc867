/** An event that waits in an outbox. */
export interface Waiting {
  /** In the order in which they were published. */
  readonly number: number;
  /** Number of the last one of those that are stored with it, all or none; 0 if it is by itself. */
  readonly together: number;
  /** Where it goes. */
  readonly topic: string;
  /** Bound of its stream; 0 for none. */
  readonly most: number;
  /** Its ordering key; empty for none. */
  readonly key: string;
  /** Its lane, if it has no key. */
  readonly priority: number;
  /** What the broker recognises it by. */
  readonly knownAs: string;
  /** A serialized Envelope. */
  readonly envelope: Buffer;
}

/** How many events wait for the broker, and how many bytes that is. */
export interface OutboxFigures {
  readonly events: number;
  readonly bytes: number;
}
