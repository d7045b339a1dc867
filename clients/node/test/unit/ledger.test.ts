import assert from "node:assert/strict";
import { test } from "node:test";
import { canonical, fingerprint } from "../../src/calls/fingerprint.js";
import { Ledger, replyFor } from "../../src/calls/ledger.js";
import { canonicalJson } from "../../src/canonicalJson.js";
import { decode, encode } from "../../src/codec.js";
import { DEFAULT_IDEMPOTENCY_WINDOW_MS, LIMIT_JOINERS } from "../../src/contract/contract.js";
import { type Envelope, newEnvelope, REPLY, REQUEST } from "../../src/envelope.js";
import { newCallId, newId } from "../../src/identity.js";
import { bytesOf, vectors } from "../support/vectors.js";

interface Equal {
  about: string;
  canonical: string;
  fingerprint: string;
  payloads: { hex: string; content_type?: string }[];
}

test("equal payloads have the fingerprint that all languages agree on, and others have another one", () => {
  const { equal } = vectors<{ equal: Equal[] }>("fingerprints");
  for (const { about, canonical: form, fingerprint: print, payloads } of equal) {
    for (const { hex, content_type: type = "" } of payloads) {
      assert.equal(canonical(bytesOf(hex), type).toString("hex"), form, about);
      assert.equal(fingerprint(bytesOf(hex), type).toString("hex"), print, about);
    }
  }
  assert.equal(new Set(equal.map((one) => one.fingerprint)).size, equal.length);
});

test("JSON is read as any reader of JSON reads it", () => {
  const canonicalOf = (text: string) => canonical(Buffer.from(text), "application/json").toString("hex");
  assert.equal(canonicalOf(' {"a" : 1 , "a":2} '), "81a16102", "of a key that comes twice the last one counts");
  assert.equal(canonicalOf('"\\u00e4\\"\\\\"'), "a4c3a4225c");
  assert.equal(canonicalOf("[true,false,null,-0,1e2]"), "95c3c2c00064");
  for (const text of ["{", "[1,]", "nul", '"\n"']) assert.throws(() => canonicalOf(text), { code: "INVALID_PAYLOAD" });
  assert.throws(() => canonicalOf("36893488147419103232"), { code: "INVALID_PAYLOAD" }, "an integer beyond 64 bits");
});

test("the order of keys is that of their UTF-8 bytes, whatever they look like", () => {
  const keys = ["10", "9", "b", "a", "\uffff", "\u{1f600}", "\ue000", "é", "__proto__", ""];
  const json = (names: string[]) => `{${names.map((name) => `${JSON.stringify(name)}:[{"y":1,"x":1.5}]`).join()}}`;
  const [first, ...others] = [keys, keys.toReversed(), keys.toSorted()].map((names) => Buffer.from(json(names)));
  assert.ok(first !== undefined);
  const byHand = canonicalJson(first.toString());
  for (const text of [first, ...others]) {
    assert.deepStrictEqual(canonical(text, "application/json"), byHand);
    assert.deepStrictEqual(canonical(encode(decode(text, "application/json")), ""), byHand);
  }
  const sorted = keys.map((key) => Buffer.from(key)).toSorted(Buffer.compare);
  const places = sorted.map((key) =>
    byHand.indexOf(Buffer.concat([Buffer.from([0xa0 | key.length]), key, Buffer.of(0x91)])),
  );
  assert.deepStrictEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
});

test("the fingerprint of a large payload takes little longer than reading it", () => {
  const data = encode(Array(1_000_000).fill(1));
  assert.ok(fastest(() => fingerprint(data, "")) < 7 * fastest(() => decode(data)));
  const many = Buffer.from(JSON.stringify(Array(200_000).fill(0.5)));
  assert.equal(fingerprint(many, "application/json").length, 16, "although it takes more than a payload may");
});

function fastest(work: () => unknown): number {
  const spent = Array.from({ length: 5 }, () => {
    const began = process.cpuUsage(); // what others on the machine take does not count
    work();
    const { user, system } = process.cpuUsage(began);
    return user + system;
  });
  return Math.min(...spent);
}

const NOW = 1000;

function request(key: string, data = "x", expiresAt = NOW + 500): Envelope {
  const asked = { id: newId(), topic: "a.b", callId: newCallId(), replyTo: "0123456789abcdef", time: NOW };
  const print = fingerprint(Buffer.from(data), "text/plain");
  return { ...newEnvelope(REQUEST), ...asked, idempotencyKey: key, fingerprint: print, expiresAt };
}

function replyTo({ topic, idempotencyKey, fingerprint: print, callId }: Envelope, text: string): Envelope {
  return { ...newEnvelope(REPLY), topic, idempotencyKey, fingerprint: print, callId, data: Buffer.from(text) };
}

test("a claim that has ended is taken over, and its first result still counts", () => {
  const ledger = new Ledger();
  const [first, second] = [request("k"), request("k", "x", NOW + 9000)];
  assert.equal(ledger.look(first, "", NOW), undefined);
  ledger.claim(first, "r1");
  assert.deepStrictEqual(ledger.look(request("k"), "", NOW + 100), { until: NOW + 500, at: "r1" }, "joined");
  assert.equal(ledger.look(request("k"), "r1", NOW + 100), undefined, "who avoids its responder takes it over");
  assert.equal(ledger.look(second, "", NOW + 500), undefined);
  ledger.claim(second, "r2");
  assert.deepStrictEqual(ledger.release(first), [], "it is not its claim any more");
  const settled = ledger.settle(replyTo(first, "one"), NOW + 600);
  assert.equal(settled.waiting.length, 3);
  const late = ledger.settle(replyTo(second, "two"), NOW + 700);
  assert.deepStrictEqual(late, { counts: settled.counts, waiting: [] });
  const third = request("k");
  const found = ledger.look(third, "", NOW + 800) as Envelope;
  assert.deepStrictEqual(found, { ...replyFor(settled.counts, third.callId), idempotencyKey: "k" });
  assert.equal(
    ledger.look(request("k"), "", NOW + 600 + DEFAULT_IDEMPOTENCY_WINDOW_MS),
    undefined,
    "its window is over",
  );
});

test("a result of another payload is for its own caller only", () => {
  const ledger = new Ledger();
  const other = request("k", "y");
  ledger.claim(request("k"), "r1");
  assert.deepStrictEqual(ledger.settle(replyTo(other, "other"), NOW).waiting, []);
  assert.ok("until" in (ledger.look(request("k"), "", NOW) ?? {}));
  assert.equal((ledger.look(request("k", "z"), "", NOW) as Envelope).error?.message.includes('"k"'), true);
});

test("results are bounded in number and bytes, the oldest give way", () => {
  for (const ledger of [new Ledger(10), new Ledger(1000, 10 * 120)]) {
    for (let n = 0; n < 100; n++) {
      const asked = request(`k${n}`);
      ledger.claim(asked, "r1");
      ledger.settle(replyTo(asked, "x".repeat(100)), NOW);
    }
    const kept = [...Array(100).keys()].filter((n) => ledger.look(request(`k${n}`), "", NOW) !== undefined);
    assert.ok(kept.length >= 8 && kept.length <= 12, String(kept));
    assert.equal(kept[0], 100 - kept.length, "the newest are kept");
  }
});

test("so many may join and no more", () => {
  const ledger = new Ledger();
  ledger.claim(request("k"), "r1");
  for (let n = 0; n < LIMIT_JOINERS; n++) assert.ok("until" in (ledger.look(request("k"), "", NOW) ?? {}));
  const error = (ledger.look(request("k"), "", NOW) as Envelope).error;
  assert.match(error?.message ?? "", /calls wait for the run/);
});

test("runs are bounded, and those that ended make room", () => {
  const ledger = new Ledger(10, 1000, 10);
  for (let n = 0; n < 10; n++) ledger.claim(request(`k${n}`), "r1");
  const refused = ledger.look(request("one more"), "", NOW) as Envelope;
  assert.match(refused.error?.message ?? "", /10 runs of idempotency keys are under way/);
  assert.ok("until" in (ledger.look(request("k0"), "", NOW) ?? {}), "joined");
  assert.equal(ledger.look(request("k0"), "r1", NOW), undefined, "taken over");
  assert.equal(ledger.look(request("one more"), "", NOW + 1000), undefined);
});

test("claims that ended without a word are forgotten", () => {
  const ledger = new Ledger();
  for (let n = 0; n < 5000; n++) ledger.claim({ ...request(`k${n}`, "x", NOW + n + 1), time: NOW + n }, "r1");
  assert.equal(ledger.look(request("k0"), "", NOW), undefined);
});

test("a result is kept for the window of the call that ran", () => {
  const ledger = new Ledger();
  const asked = request("k");
  ledger.claim(asked, "r1", 500);
  ledger.settle(replyTo(asked, "one"), NOW, 9000);
  assert.notEqual(ledger.look(request("k"), "", NOW + 499), undefined);
  assert.equal(ledger.look(request("k"), "", NOW + 500), undefined);
  ledger.settle(replyTo(request("unclaimed"), "two"), NOW, 300);
  assert.notEqual(ledger.look(request("unclaimed"), "", NOW + 299), undefined);
  assert.equal(ledger.look(request("unclaimed"), "", NOW + 300), undefined);
});
