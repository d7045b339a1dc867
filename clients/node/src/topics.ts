import {
  LIMIT_GROUP_BYTES,
  LIMIT_TOPIC_BYTES,
  LIMIT_TOPIC_TOKENS,
  RESERVED_TOPICS,
  TOPICS_APART,
} from "./contract/contract.js";
import { InvalidArgumentError, InvalidTopicError } from "./errors.js";

const WORD = "[A-Za-z0-9_/-]+";
const WILD = `(?:${WORD}|\\*)`;
const MORE = LIMIT_TOPIC_TOKENS - 1;
const TOPIC = new RegExp(`^${WORD}(?:\\.${WORD}){0,${MORE}}$`);
const PATTERN = new RegExp(`^(?:${WILD}(?:\\.${WILD}){0,${MORE}}|(?:${WILD}\\.){0,${MORE}}>)$`);
const GROUP = new RegExp(`^[A-Za-z0-9_./-]{1,${LIMIT_GROUP_BYTES}}$`);
const STRANGE = /[^A-Za-z0-9_./-]/;
const STRANGE_IN_PATTERN = /[^A-Za-z0-9_./*>-]/;
const REMEMBERED = 4096;
const valid = new Set<string>();

/** Refuses what is no concrete topic. Throws InvalidTopicError that says what is wrong and where. */
export function checkTopic(topic: string): void {
  if (valid.has(topic)) return;
  if (typeof topic !== "string" || topic.length > LIMIT_TOPIC_BYTES || !TOPIC.test(topic)) {
    throw topicError(topic, "topic");
  }
  if (valid.size >= REMEMBERED) valid.clear();
  valid.add(topic);
}

/** Refuses topics that only the system may publish on, too. Throws InvalidTopicError. */
export function checkPublishable(topic: string): void {
  checkTopic(topic);
  if (isReserved(topic)) {
    throw new InvalidTopicError(say("topic", topic, "is published by the system only; choose another first token"));
  }
}

/** Refuses what is neither a topic nor a pattern. Throws InvalidTopicError that says what is wrong and where. */
export function checkPattern(pattern: string): void {
  const fits = typeof pattern === "string" && pattern.length <= LIMIT_TOPIC_BYTES && PATTERN.test(pattern);
  if (!fits) throw topicError(pattern, "pattern");
}

/** Refuses what is no name of a group. Throws InvalidArgumentError that says what is wrong and where. */
export function checkGroup(group: string): void {
  if (typeof group === "string" && GROUP.test(group)) return;
  throw new InvalidArgumentError(say("group", group, faultOfText(group, "group", LIMIT_GROUP_BYTES, STRANGE)));
}

/** Whether a pattern has wildcards; it is taken to be valid. */
export function isWildcard(pattern: string): boolean {
  return pattern.includes("*") || pattern.includes(">");
}

/** Whether only the system may publish on the topic. */
export function isReserved(topic: string): boolean {
  return RESERVED_TOPICS.some((prefix) => topic.startsWith(prefix));
}

/**
 * Whether a concrete topic is one of a pattern's: `*` stands for one token, a final `>` for one or more. What the system
 * says of itself (`system.…`) is so only if the first token of the pattern is no wildcard.
 */
export function matches(pattern: string, topic: string): boolean {
  if (!isWildcard(pattern)) return pattern === topic;
  if (isWildcard(pattern[0] ?? "") && topic.startsWith(TOPICS_APART)) return false;
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  for (let at = 0; at < wanted.length; at++) {
    if (wanted[at] === ">") return tokens.length > at;
    if (at >= tokens.length || (wanted[at] !== "*" && wanted[at] !== tokens[at])) return false;
  }
  return wanted.length === tokens.length;
}

function say(what: string, value: unknown, fault: string): string {
  const shown = String(JSON.stringify(value));
  return `${what} ${shown.length <= LIMIT_TOPIC_BYTES + 2 ? shown : `${shown.slice(0, 60)}…`}: ${fault}`;
}

function topicError(value: unknown, what: "topic" | "pattern"): InvalidTopicError {
  const fault = faultOfText(value, what, LIMIT_TOPIC_BYTES, STRANGE_IN_PATTERN) || faultOfTokens(String(value), what);
  return new InvalidTopicError(say(what, value, fault));
}

/** What is wrong with the text as a whole, or with one of its characters; "" if nothing is. */
function faultOfText(value: unknown, what: string, limit: number, strange: RegExp): string {
  if (typeof value !== "string") return `must be text, not ${value === null ? "null" : typeof value}`;
  if (value === "") return `must not be empty; a ${what} has 1 to ${limit} bytes`;
  const at = value.search(strange);
  if (at >= 0) {
    const letter = JSON.stringify(String.fromCodePoint(value.codePointAt(at) ?? 0));
    return `character ${letter} at position ${at} is not allowed; allowed are A-Z a-z 0-9 _ - / and dots`;
  }
  return value.length > limit ? `is ${value.length} bytes long, at most ${limit} are allowed` : "";
}

/** What is wrong with the first wrong token of a topic or pattern, or with their number. */
function faultOfTokens(value: string, what: "topic" | "pattern"): string {
  const tokens = value.split(".");
  if (tokens.length > LIMIT_TOPIC_TOKENS)
    return `has ${tokens.length} tokens, at most ${LIMIT_TOPIC_TOKENS} are allowed`;
  let position = 0;
  for (const [at, token] of tokens.entries()) {
    const fault = faultOfToken(token, what, at === tokens.length - 1);
    if (fault !== "") return `token ${at + 1} at position ${position} ${fault}`;
    position += token.length + 1;
  }
  return "is not allowed";
}

function faultOfToken(token: string, what: "topic" | "pattern", last: boolean): string {
  if (token === "") return "is empty; dots stand between tokens, one at a time";
  if (!isWildcard(token)) return "";
  if (what === "topic") return `is "${token}": a concrete topic is needed, wildcards are for subscriptions`;
  if (token.length > 1) return `is "${token}": a wildcard must be a whole token`;
  return token === ">" && !last ? 'is ">", which is allowed only as the last token' : "";
}

class Node<T> {
  readonly children = new Map<string, Node<T>>();
  /** Values that end here. */
  readonly ends = new Set<T>();
  /** Values of a ">" after this point. */
  readonly rests = new Set<T>();
  star: Node<T> | undefined;

  get empty(): boolean {
    return this.children.size + this.ends.size + this.rests.size === 0 && this.star === undefined;
  }

  step(token: string): Node<T> | undefined {
    return token === "*" ? this.star : this.children.get(token);
  }

  grow(token: string): Node<T> {
    const known = this.step(token);
    if (known !== undefined) return known;
    const node = new Node<T>();
    if (token === "*") this.star = node;
    else this.children.set(token, node);
    return node;
  }

  cut(token: string): void {
    if (token === "*") this.star = undefined;
    else this.children.delete(token);
  }
}

/**
 * Values by topic or pattern; finds all that match a topic.
 * A look-up visits each node of the trie at most once and at most 16 levels, whatever the patterns are.
 */
export class PatternTrie<T> {
  readonly #root = new Node<T>();
  #size = 0;

  /** How many pairs of pattern and value it holds. */
  get size(): number {
    return this.#size;
  }

  /** Adds a value under a valid pattern; false if it was there. */
  insert(pattern: string, value: T): boolean {
    let node = this.#root;
    for (const token of steps(pattern)) node = node.grow(token);
    const slot = slotOf(node, pattern);
    if (slot.has(value)) return false;
    slot.add(value);
    this.#size += 1;
    return true;
  }

  /** Takes a value away from a pattern; false if it was not there. */
  remove(pattern: string, value: T): boolean {
    const path = [this.#root];
    const tokens = steps(pattern);
    for (const token of tokens) {
      const node = path[path.length - 1]?.step(token);
      if (node === undefined) return false;
      path.push(node);
    }
    const last = path[path.length - 1];
    if (last === undefined || !slotOf(last, pattern).delete(value)) return false;
    this.#size -= 1;
    for (let at = path.length - 1; at > 0 && path[at]?.empty; at--) path[at - 1]?.cut(tokens[at - 1] ?? "");
    return true;
  }

  /** The values of all patterns that match a concrete topic; longer and more literal ones come first. */
  match(topic: string): T[] {
    let level = [this.#root];
    const rests: Set<T>[] = [];
    const tokens = topic.split(".");
    if (topic.startsWith(TOPICS_APART)) {
      // A wildcard does not stand for the first token.
      const first = this.#root.children.get(tokens.shift() ?? "");
      level = first === undefined ? [] : [first];
    }
    for (const token of tokens) {
      const deeper: Node<T>[] = [];
      for (const node of level) {
        if (node.rests.size > 0) rests.push(node.rests);
        const child = node.children.get(token);
        if (child !== undefined) deeper.push(child);
        if (node.star !== undefined) deeper.push(node.star);
      }
      level = deeper;
    }
    return [...level.flatMap((node) => [...node.ends]), ...rests.reverse().flatMap((slot) => [...slot])];
  }
}

function steps(pattern: string): string[] {
  const tokens = pattern.split(".");
  if (tokens[tokens.length - 1] === ">") tokens.pop();
  return tokens;
}

function slotOf<T>(node: Node<T>, pattern: string): Set<T> {
  return pattern.endsWith(">") ? node.rests : node.ends;
}
