import type { Socket } from "node:net";

const SLAB_BYTES = 64 * 1024;
const LARGE = 16 * 1024;
const SHORT = 32;

/** Joins what is written to a socket until it is flushed. What was handed to the socket is never touched again. */
export class RedisWriter {
  readonly #socket: Socket;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #start = 0;
  #at = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that the socket has not taken yet. */
  get backlog(): number {
    return this.#socket.writableLength + this.#at - this.#start;
  }

  /** Bytes as they are. */
  bytes(bytes: Buffer): void {
    const size = bytes.length;
    if (size > LARGE) {
      this.flush();
      this.#socket.write(bytes);
      return;
    }
    this.#reserve(size);
    bytes.copy(this.#slab, this.#at);
    this.#at += size;
  }

  /** The line that begins an array or a bulk string: `*3`, `$5`. */
  head(type: "*" | "$", size: number): void {
    this.#reserve(SHORT);
    const slab = this.#slab;
    slab[this.#at++] = type === "$" ? 0x24 : 0x2a;
    if (size < 10) slab[this.#at++] = 0x30 + size;
    else this.#at += slab.write(String(size), this.#at, "latin1");
    this.end();
  }

  /** The end of a line or bulk string. */
  end(): void {
    this.#reserve(2);
    this.#slab[this.#at++] = 13;
    this.#slab[this.#at++] = 10;
  }

  /** A bulk string. */
  bulk(value: Buffer | string): void {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    this.head("$", bytes.length);
    this.bytes(bytes);
    this.end();
  }

  /** Hands everything to the socket in one write. */
  flush(): void {
    if (this.#at === this.#start) return;
    if (!this.#socket.destroyed) this.#socket.write(this.#slab.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#slab.length) return;
    this.flush();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#start = 0;
    this.#at = 0;
  }
}
