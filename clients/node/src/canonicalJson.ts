import { canonicalList, canonicalMap, canonicalNumber } from "./canonical.js";
import { encode } from "./codec.js";

const SPACE = /\s*/y;
const TEXT = /"(?:[^"\\]|\\.)*"/y;
const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;
const WORDS: Readonly<Record<string, unknown>> = { t: true, f: false, n: null };

/** JSON that is known to be valid, in canonical MessagePack. It is read here because `JSON.parse` forgets large integers. */
export function canonicalJson(text: string): Buffer {
  return new Walk(text).value();
}

class Walk {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): Buffer {
    const first = this.#peek();
    if (first === "{") return this.#map();
    if (first === "[") return this.#list();
    if (first === '"') return encode(this.#string());
    if (first !== undefined && Object.hasOwn(WORDS, first)) return this.#word(WORDS[first]);
    return first === undefined ? encode(null) : this.#number();
  }

  #map(): Buffer {
    const entries = new Map<string, Buffer>(); // of a key that comes twice, the last one counts
    this.#at += 1;
    while (this.#peek() !== "}") {
      const key = this.#string();
      this.#pass(":");
      entries.set(key, this.value());
      this.#pass(",");
    }
    this.#at += 1;
    return canonicalMap([...entries]);
  }

  #list(): Buffer {
    const items: Buffer[] = [];
    this.#at += 1;
    while (this.#peek() !== "]") {
      items.push(this.value());
      this.#pass(",");
    }
    this.#at += 1;
    return canonicalList(items);
  }

  #number(): Buffer {
    const [token = "0", fraction, exponent] = this.#take(NUMBER);
    if (fraction !== undefined || exponent !== undefined) return canonicalNumber(Number(token));
    return encode(BigInt(token));
  }

  #string(): string {
    this.#peek();
    return JSON.parse(this.#take(TEXT)[0] ?? '""') as string;
  }

  #word(value: unknown): Buffer {
    this.#at += String(value).length;
    return encode(value);
  }

  /** The next character that is no space; undefined at the end. */
  #peek(): string | undefined {
    this.#take(SPACE);
    return this.#text[this.#at];
  }

  #pass(separator: string): void {
    if (this.#peek() === separator) this.#at += 1;
  }

  #take(token: RegExp): readonly (string | undefined)[] {
    token.lastIndex = this.#at;
    const found = token.exec(this.#text) ?? [];
    this.#at += found[0]?.length ?? 0;
    return found;
  }
}
