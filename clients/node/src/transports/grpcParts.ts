import type { Claimed, MailResponse } from "../contract/durable.js";

/** Puts together answers that come in parts. */
export class MailParts {
  readonly #parts = new Map<number, MailResponse>();

  /** Takes a part; returns the answer if it is the last one. */
  take(part: MailResponse): MailResponse | undefined {
    const before = this.#parts.get(part.ref);
    const answer = before === undefined ? part : merged(before, part);
    if (part.more) this.#parts.set(part.ref, answer);
    else this.#parts.delete(part.ref);
    return part.more ? undefined : answer;
  }
}

/** The first one, with the second one behind it, by the rules of protobuf. */
function merged(answer: MailResponse, part: MailResponse): MailResponse {
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
