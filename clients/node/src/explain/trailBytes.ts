import { LIMIT_TRAIL_BYTES } from "../contract/contract.js";
import { Step } from "../contract/envelope.js";

const STEP_TAG = 0x0a;
const LENGTH_BYTES = 4;
const YEAR_10000_MS = 253_402_300_800_000;
const NAME = /^[a-z_]\w*$/i;

/** Where a step is: its body begins at `start`, and whatever follows at `end`. */
interface Place {
  readonly start: number;
  readonly end: number;
}

/** Two trails in one; the oldest steps give way. What cannot be told apart into steps goes as a whole. */
export function joined(there: Uint8Array, steps: Uint8Array, mostBytes: number): Buffer {
  const whole = Buffer.concat([there, steps]);
  let at = 0;
  while (whole.length - at > mostBytes) {
    const bound = at < there.length ? there.length : whole.length;
    const end = placeOf(whole, at)?.end ?? Infinity;
    at = end <= bound ? end : bound;
  }
  return whole.subarray(at);
}

/** The steps that can be read. What is between them is passed over, up to as much as a stored trail holds. */
export function stepsOf(trail: Uint8Array): Step[] {
  const steps: Step[] = [];
  let unread = 0;
  for (let at = 0; at < trail.length && unread <= LIMIT_TRAIL_BYTES; ) {
    const place = placeOf(trail, at);
    const step = place && read(trail, place);
    if (place === undefined || step === undefined) {
      at += 1;
      unread += 1;
      continue;
    }
    at = place.end;
    if (step.time >= 0 && step.time < YEAR_10000_MS) steps.push(step);
  }
  return steps;
}

/** The step whose tag and length are here; undefined if no step can begin here. */
function placeOf(trail: Uint8Array, at: number): Place | undefined {
  if (trail[at] !== STEP_TAG) return undefined;
  let length = 0;
  for (let number = 0; number < LENGTH_BYTES; number++) {
    const byte = trail[at + 1 + number];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * number);
    if (byte >= 0x80) continue;
    const start = at + number + 2;
    return start + length <= trail.length ? { start, end: start + length } : undefined;
  }
  return undefined;
}

function read(trail: Uint8Array, { start, end }: Place): Step | undefined {
  if (end - start > LIMIT_TRAIL_BYTES) return undefined;
  try {
    const step = Step.decode(trail.subarray(start, end));
    return NAME.test(step.name) ? step : undefined;
  } catch {
    return undefined;
  }
}
