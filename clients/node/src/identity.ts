import { randomFillSync } from "node:crypto";

const POOL_BYTES = 4096;
const VARIANTS = "89ab";

/** Random bytes from the system, fetched a page at a time; a page is never used twice. */
class Page {
  #bytes = Buffer.alloc(0);
  #at = POOL_BYTES;

  take(count: number): Buffer {
    if (this.#at + count > POOL_BYTES) {
      this.#bytes = randomFillSync(Buffer.allocUnsafeSlow(POOL_BYTES));
      this.#at = 0;
    }
    const at = this.#at;
    this.#at = at + count;
    return this.#bytes.subarray(at, at + count);
  }
}

const page = new Page();
let lastMs = 0;
let head = "";
let tail = 0;

/** 16 unguessable bytes. */
export function newCallId(): Buffer {
  return page.take(16);
}

/** A call's id as text (latin1), to find it by. */
export function callKey(id: Uint8Array): string {
  return (id as Buffer).toString("latin1");
}

/** Name of an instance: 16 hexadecimal digits. */
export function newInstance(): string {
  return page.take(8).toString("hex");
}

/** The instance of a `service/instance`. */
export function instanceOf(source: string): string {
  return source.slice(source.lastIndexOf("/") + 1);
}

/**
 * UUIDv7 as text: milliseconds since 1970, then 74 bits, random for each millisecond and counting up within it.
 * Source of the rule: RFC 9562, section 6.2, method 2.
 */
export function newId(): string {
  const ms = Date.now();
  if (ms !== lastMs) newMillisecond(ms);
  tail += 1;
  return head + tail.toString(16).padStart(12, "0");
}

function newMillisecond(ms: number): void {
  const noise = page.take(10);
  const [digits, time] = [noise.toString("hex"), ms.toString(16).padStart(12, "0")];
  const variant = VARIANTS[(noise[9] as number) & 3];
  lastMs = ms;
  head = `${time.slice(0, 8)}-${time.slice(8)}-7${digits.slice(0, 3)}-${variant}${digits.slice(3, 6)}-`;
  tail = Math.floor(Number.parseInt(digits.slice(6, 18), 16) / 2); // room to count
}
