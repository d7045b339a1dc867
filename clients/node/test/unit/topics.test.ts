import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidArgumentError, InvalidTopicError, type TielineError } from "../../src/errors.js";
import {
  checkGroup,
  checkPattern,
  checkPublishable,
  checkTopic,
  isReserved,
  isWildcard,
  matches,
  PatternTrie,
} from "../../src/topics.js";
import { vectors } from "../support/vectors.js";

interface Bad {
  why: string;
  position: number | null;
}

interface Vectors {
  topics: string[];
  bad_topics: (Bad & { topic: string })[];
  patterns: string[];
  bad_patterns: (Bad & { pattern: string })[];
  matches: { pattern: string; topic: string; matches: boolean }[];
  groups: string[];
  bad_groups: (Bad & { group: string })[];
  reserved: { topic: string; reserved: boolean }[];
}

const all = vectors<Vectors>("topics");
const SAYS: Record<string, string> = {
  empty: "must not be empty",
  "empty token": "is empty; dots stand between tokens",
  "too long": "at most 255 are allowed",
  "too many tokens": "at most 16 are allowed",
  character: "is not allowed; allowed are",
  wildcard: ": a concrete topic is needed, wildcards are for subscriptions",
  "wildcard inside a token": "a wildcard must be a whole token",
  "> is not last": "allowed only as the last token",
};

function refused(check: (value: string) => void, value: string, kind: typeof TielineError, bad: Bad): void {
  assert.throws(
    () => check(value),
    (error) => {
      assert.ok(error instanceof kind);
      assert.ok(error.message.includes(SAYS[bad.why] ?? "?"), error.message);
      assert.ok(error.message.length < 500);
      assert.equal(error.message.includes("position"), bad.position !== null);
      if (bad.position !== null) assert.ok(error.message.includes(`position ${bad.position} `), error.message);
      return true;
    },
  );
}

test("good topics are good patterns", () => {
  for (const topic of all.topics) {
    checkTopic(topic);
    checkPattern(topic);
    assert.equal(isWildcard(topic), false);
  }
});

test("bad topics are refused with the reason and the place", () => {
  for (const { topic, ...bad } of all.bad_topics) refused(checkTopic, topic, InvalidTopicError as never, bad);
});

test("good patterns", () => {
  for (const pattern of all.patterns) checkPattern(pattern);
});

test("bad patterns are refused with the reason and the place", () => {
  for (const { pattern, ...bad } of all.bad_patterns) refused(checkPattern, pattern, InvalidTopicError as never, bad);
});

test("groups", () => {
  for (const group of all.groups) checkGroup(group);
  for (const { group, ...bad } of all.bad_groups) refused(checkGroup, group, InvalidArgumentError as never, bad);
});

test("what is no text is refused by name", () => {
  for (const value of [undefined, null, 1, {}]) {
    assert.throws(() => checkTopic(value as never), /must be text/);
    assert.throws(() => checkPattern(value as never), /must be text/);
    assert.throws(() => checkGroup(value as never), /must be text/);
  }
});

test("reserved topics", () => {
  for (const { topic, reserved } of all.reserved) {
    assert.equal(isReserved(topic), reserved, topic);
    if (reserved) assert.throws(() => checkPublishable(topic), InvalidTopicError);
    else checkPublishable(topic);
  }
});

test("what matches", () => {
  for (const { pattern, topic, matches: wanted } of all.matches) {
    const trie = new PatternTrie<number>();
    trie.insert(pattern, 1);
    assert.equal(matches(pattern, topic), wanted, `${pattern} ${topic}`);
    assert.equal(trie.match(topic).length === 1, wanted, `${pattern} ${topic} in the trie`);
  }
});

const token = fc.constantFrom("a", "b", "c");
const topics = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join("."));
const patterns = fc
  .tuple(fc.array(fc.oneof(token, fc.constant("*")), { maxLength: 4 }), fc.constantFrom("a", "*", ">"))
  .map(([tokens, last]) => [...tokens, last].join("."));

test("the trie finds what the plain rule finds, also after removals", () => {
  fc.assert(
    fc.property(fc.uniqueArray(patterns, { maxLength: 30 }), fc.nat(30), topics, (list, removed, topic) => {
      const trie = new PatternTrie<string>();
      for (const pattern of list) assert.equal(trie.insert(pattern, pattern), true);
      for (const pattern of list) assert.equal(trie.insert(pattern, pattern), false);
      for (const pattern of list.slice(0, removed)) assert.equal(trie.remove(pattern, pattern), true);
      const left = list.slice(removed);
      assert.equal(trie.size, left.length);
      assert.deepStrictEqual(trie.match(topic).sort(), left.filter((pattern) => matches(pattern, topic)).sort());
      for (const pattern of left) trie.remove(pattern, pattern);
      assert.equal(trie.size, 0);
      assert.equal(trie.remove("a.*", "x"), false);
    }),
    { numRuns: 1000 },
  );
});
