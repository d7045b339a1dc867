import type { AgendaResponse } from "../contract/agenda.js";
import type { Claimed, MailResponse } from "../contract/durable.js";

/** An answer, or a part of one. */
interface Part {
  readonly ref: number;
  /** It goes on. */
  readonly more: boolean;
}

/** Puts together answers that come in parts. */
export class Parts<Answer extends Part> {
  readonly #parts = new Map<number, Answer>();
  readonly #merged: (answer: Answer, part: Answer) => Answer;

  /** `merged` returns the first one, with the second one behind it, by the rules of protobuf. */
  constructor(merged: (answer: Answer, part: Answer) => Answer) {
    this.#merged = merged;
  }

  /** Takes a part; returns the answer if it is the last one. */
  take(part: Answer): Answer | undefined {
    const before = this.#parts.get(part.ref);
    const answer = before === undefined ? part : this.#merged(before, part);
    if (part.more) this.#parts.set(part.ref, answer);
    else this.#parts.delete(part.ref);
    return part.more ? undefined : answer;
  }
}

/** See `Parts`. */
export function mergedAgenda(answer: AgendaResponse, part: AgendaResponse): AgendaResponse {
  answer.error ??= part.error;
  answer.yes ||= part.yes;
  answer.total ||= part.total;
  answer.planned = answer.planned.concat(part.planned);
  answer.version ||= part.version;
  answer.tasks = answer.tasks.concat(part.tasks);
  answer.sums = { ...answer.sums, ...part.sums };
  return answer;
}

/** See `Parts`. */
export function mergedMail(answer: MailResponse, part: MailResponse): MailResponse {
  answer.error ??= part.error;
  answer.yes ||= part.yes;
  answer.count ||= part.count;
  answer.stored = answer.stored.concat(part.stored);
  answer.kept = answer.kept.concat(part.kept);
  answer.names = answer.names.concat(part.names);
  answer.groups = answer.groups.concat(part.groups);
  answer.letters = answer.letters.concat(part.letters);
  if (part.claimed !== undefined) answer.claimed = claimedOf(answer.claimed, part.claimed);
  return answer;
}

function claimedOf(claimed: Claimed | undefined, part: Claimed): Claimed {
  if (claimed === undefined) return part;
  const members = claimed.members.concat(part.members);
  return { token: claimed.token, againMs: claimed.againMs, lost: claimed.lost, members };
}
