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
let hexPage = "";
let hexAt = 0;
let lastMs = 0;
let timePart = "";

/** 16 unguessable bytes. */
export function newCallId(): Buffer {
  return page.take(16);
}

/** Name of an instance: 16 hexadecimal digits. */
export function newInstance(): string {
  return page.take(8).toString("hex");
}

/** The instance of a `service/instance`. */
export function instanceOf(source: string): string {
  return source.slice(source.lastIndexOf("/") + 1);
}

/** UUIDv7 as text (RFC 9562): milliseconds since 1970, then 74 random bits. */
export function newId(): string {
  const ms = Date.now();
  if (ms !== lastMs) {
    const digits = ms.toString(16).padStart(12, "0");
    timePart = `${digits.slice(0, 8)}-${digits.slice(8)}-7`;
    lastMs = ms;
  }
  if (hexAt >= hexPage.length) {
    hexPage = page.take(POOL_BYTES).toString("hex");
    hexAt = 0;
  }
  const at = hexAt;
  hexAt = at + 32;
  const variant = VARIANTS[hexPage.charCodeAt(at + 18) & 3];
  return `${timePart}${hexPage.slice(at, at + 3)}-${variant}${hexPage.slice(at + 3, at + 6)}-${hexPage.slice(at + 6, at + 18)}`;
}
