import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Clock } from "../../src/clock.js";
import { CURRENT, Event } from "../../src/context.js";
import { EVENT, newEnvelope } from "../../src/envelope.js";
import { Mailbox, type Work } from "../../src/mailbox.js";

class Piece implements Work {
  running = false;
  interrupted = 0;
  event: Event | undefined;

  constructor(
    readonly mailbox: Mailbox,
    readonly name: string,
    readonly isEvent = true,
    readonly atOnce = false,
  ) {}

  run(): void {
    this.running = true;
    if (this.atOnce) this.end();
  }

  end(): void {
    this.running = false;
    this.mailbox.finished(this);
  }

  interrupt(): void {
    this.interrupted += 1;
  }
}

function pieces(mailbox: Mailbox, names: string, isEvent = true): Piece[] {
  return [...names].map((name) => new Piece(mailbox, name, isEvent));
}

test("so many run, so many wait, the rest is refused; the next starts when one ends", async () => {
  const mailbox = new Mailbox(2, 2);
  const [a, b, c, d, e] = pieces(mailbox, "abcde") as [Piece, Piece, Piece, Piece, Piece];
  assert.deepStrictEqual(
    [a, b, c, d, e].map((piece) => mailbox.offer(piece)),
    [true, true, true, true, false],
  );
  assert.equal(mailbox.hasRoom, false);
  assert.deepStrictEqual(
    [a, b, c, d].map((piece) => piece.running),
    [true, true, false, false],
  );
  let idle = false;
  const drained = mailbox.drain().then(() => {
    idle = true;
  });
  a.end();
  assert.deepStrictEqual([c.running, d.running, mailbox.hasRoom], [true, false, true]);
  for (const piece of [b, c, d]) piece.end();
  assert.equal(idle, false);
  await drained;
});

test("a forced event pushes out the oldest waiting event, never a request", () => {
  const mailbox = new Mailbox(1, 2);
  const [running, request, event] = [new Piece(mailbox, "r"), new Piece(mailbox, "q", false), new Piece(mailbox, "e")];
  for (const piece of [running, request, event]) mailbox.offer(piece);
  const newer = new Piece(mailbox, "n");
  assert.equal(mailbox.force(newer), event);
  running.end();
  assert.equal(request.running, true);
  const full = new Mailbox(1, 0);
  full.offer(new Piece(full, "x"));
  const last = new Piece(full, "y");
  assert.equal(full.force(last), last);
  assert.equal(full.dropped, 1);
});

test("withdrawing and clearing", async () => {
  const mailbox = new Mailbox(1, 5);
  const [a, b, c] = pieces(mailbox, "abc") as [Piece, Piece, Piece];
  for (const piece of [a, b, c]) mailbox.offer(piece);
  assert.deepStrictEqual([mailbox.withdraw(b), mailbox.withdraw(b), mailbox.withdraw(a)], [true, false, false]);
  const drained = mailbox.drain();
  mailbox.clear(new Error("stop") as never);
  await drained;
  assert.deepStrictEqual([a.interrupted, b.interrupted, c.interrupted], [1, 0, 1]);
  a.end();
});

test("a handler does not wait for itself, others do", async () => {
  const mailbox = new Mailbox(2, 0);
  const [a, b] = pieces(mailbox, "ab") as [Piece, Piece];
  for (const piece of [a, b]) piece.event = new Event(newEnvelope(EVENT), new Clock());
  mailbox.offer(a);
  let idle = false;
  const drained = CURRENT.run(b.event as Event, () => mailbox.drain()).then(() => {
    idle = true;
  });
  await CURRENT.run(a.event as Event, () => mailbox.drain());
  assert.equal(idle, false);
  a.end();
  await drained;
});

test("what comes last is taken beyond the capacity, and nothing gives way", () => {
  const mailbox = new Mailbox(1, 1);
  const [a, b, c] = pieces(mailbox, "abc") as [Piece, Piece, Piece];
  for (const piece of [a, b, c]) mailbox.admit(piece);
  a.end();
  b.end();
  assert.deepStrictEqual([c.running, mailbox.dropped], [true, 0]);
});

test("a long queue of handlers that end at once needs no deep stack", () => {
  const mailbox = new Mailbox(1, 100_000);
  const first = new Piece(mailbox, "first");
  mailbox.offer(first);
  for (let n = 0; n < 100_000; n++) mailbox.offer(new Piece(mailbox, String(n), true, true));
  first.end();
  assert.equal(mailbox.hasRoom, true);
});

test("what has been handled is not kept", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const mailbox = new Mailbox(1, 100);
  const first = new Piece(mailbox, "first");
  mailbox.offer(first);
  const waited = Array.from({ length: 40 }, () => {
    const piece = new Piece(mailbox, "waits", true, true);
    mailbox.offer(piece);
    return new WeakRef(piece);
  });
  const last = new Piece(mailbox, "last");
  mailbox.offer(last);
  mailbox.offer(new Piece(mailbox, "after it"));
  first.end();
  assert.equal(last.running, true);
  await new Promise((resolve) => setImmediate(resolve)); // a WeakRef holds on until the turn ends
  collect();
  assert.deepStrictEqual(waited.map((piece) => piece.deref()).filter(Boolean), []);
});
