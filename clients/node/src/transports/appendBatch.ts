import type { Appended, Draft } from "../durable/mail.js";
import { Together } from "./together.js";

/** Events of one topic that are stored by one question to the broker, and who waits for each of them. */
export class AppendBatch extends Together<Appended> {
  readonly drafts: Draft[] = [];

  constructor(
    readonly topic: string,
    readonly most: number,
    readonly together: boolean,
  ) {
    super();
  }

  /** Adds events; resolves to what became of them. */
  add(drafts: readonly Draft[]): Promise<Appended[]> {
    this.drafts.push(...drafts);
    return this.wait(drafts.length);
  }
}
