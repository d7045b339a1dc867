import type { Probed } from "../transport.js";
import { type Call, State } from "./call.js";

/** Responders that have held a call since before `oldest`; the calls are in the order of their attempts. */
export function suspects(calls: Iterable<Call>, oldest: number): Set<string> {
  const found = new Set<string>();
  for (const call of calls) {
    if (call.started > oldest) break;
    if (call.state === State.HELD && call.instance !== "") found.add(call.instance);
  }
  return found;
}

/** Why the call's responder must be gone, or nothing. `confirm`: milliseconds between two silences (SPEC.md, section 6). */
export function whyLost(call: Call, { silent, expired }: Probed, now: number, confirm: number): string {
  if (expired.has(call.instance)) return "its lease ended";
  if (!silent.has(call.instance)) call.silentSince = 0;
  else if (call.silentSince === 0) call.silentSince = now;
  else if (now - call.silentSince >= confirm) return "its process no longer listens";
  return "";
}
