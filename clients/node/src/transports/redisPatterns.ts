import { PatternTrie } from "../topics.js";

const REMEMBERED = 4096;
const NUL = "\0";

/** A wildcard group that may take a topic. */
export interface WildGroup {
  readonly pattern: string;
  readonly group: string;
}

/** Who else may want a topic. */
interface Interested {
  readonly groups: readonly WildGroup[];
  readonly observed: boolean;
}

/** The entry of a wildcard group. */
export function groupEntry(pattern: string, group: string): string {
  return `g${NUL}${pattern}${NUL}${group}`;
}

/** The entry of an observer. */
export function observerEntry(pattern: string): string {
  return `o${NUL}${pattern}`;
}

/**
 * What this process knows of wildcard groups and observers everywhere (SPEC.md, section 7).
 * The cached list is extended by each notice and replaced by each full reading.
 */
export class RedisPatterns {
  #entries = new Set<string>();
  #groups = new PatternTrie<WildGroup>();
  #observers = new PatternTrie<true>();
  readonly #known = new Map<string, Interested>();

  /** Takes the whole list as the broker has it. */
  replace(entries: readonly string[]): void {
    if (entries.length === this.#entries.size && entries.every((entry) => this.#entries.has(entry))) return;
    this.#entries = new Set();
    this.#groups = new PatternTrie();
    this.#observers = new PatternTrie();
    this.#known.clear();
    for (const entry of entries) this.add(entry);
  }

  /** Takes one more; what is no entry is ignored. */
  add(entry: string): void {
    if (this.#entries.has(entry)) return;
    const [kind, pattern, group] = entry.split(NUL);
    if (pattern === undefined) return;
    this.#entries.add(entry);
    this.#known.clear();
    if (kind === "g" && group !== undefined) this.#groups.insert(pattern, { pattern, group });
    else if (kind === "o") this.#observers.insert(pattern, true);
  }

  /** Whether anybody anywhere may be observing. */
  get observing(): boolean {
    return this.#observers.size > 0;
  }

  /** Every wildcard group that may take this topic. */
  groups(topic: string): readonly WildGroup[] {
    return this.#interested(topic).groups;
  }

  /** Whether anybody may observe this topic. */
  observed(topic: string): boolean {
    return this.#observers.size > 0 && this.#interested(topic).observed;
  }

  #interested(topic: string): Interested {
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    const found = { groups: this.#groups.match(topic), observed: this.#observers.match(topic).length > 0 };
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(topic, found);
    return found;
  }
}
