import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeCommand,
  ProtocolError,
  type Push,
  type Reply,
  RespError,
  RespReader,
} from "../../src/transports/resp.js";

type Heard = { reply: Reply } | { push: Push };

function read(pieces: readonly Buffer[]): Heard[] {
  const heard: Heard[] = [];
  const reader = new RespReader({
    onReply: (reply) => heard.push({ reply: copy(reply) }),
    onPush: (push) => heard.push({ push: { ...push, rest: push.rest.map(copy) } }),
  });
  for (const piece of pieces) reader.feed(piece);
  return heard;
}

/** Replies share memory with what was received. */
function copy(reply: Reply): Reply {
  if (reply instanceof Buffer) return Buffer.from(reply);
  return Array.isArray(reply) ? reply.map(copy) : reply;
}

function write(reply: Reply): string {
  if (reply === null) return "_\r\n";
  if (reply instanceof Buffer) return `$${reply.length}\r\n${reply.toString("latin1")}\r\n`;
  if (reply instanceof RespError) return `-${reply.message}\r\n`;
  if (Array.isArray(reply)) return `*${reply.length}\r\n${reply.map(write).join("")}`;
  if (reply instanceof Map) {
    const pairs = [...reply].map(([key, value]) => `${write(Buffer.from(key))}${write(value)}`);
    return `%${reply.size}\r\n${pairs.join("")}`;
  }
  if (typeof reply === "number") return `:${reply}\r\n`;
  if (typeof reply === "boolean") return `#${reply ? "t" : "f"}\r\n`;
  if (typeof reply === "bigint") return `(${reply}\r\n`;
  return `+${reply}\r\n`;
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const word = fc.string({ unit: fc.constantFrom("a", "b", " ", "1"), maxLength: 10 });
const { reply: replies } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    word,
    fc.bigInt({ min: 2n ** 70n, max: 2n ** 80n }),
    word.map((message) => new RespError(`ERR ${message}`)),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie("reply"), { maxLength: 5 }),
    fc.array(fc.tuple(word, tie("reply")), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  ),
}));

test("replies and pushes are read whole, however they are cut", () => {
  fc.assert(
    fc.property(fc.array(replies, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (sent, places) => {
      const push = ">3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$3\r\na\r\n\r\n";
      const wire = Buffer.from(sent.map((reply) => push + write(reply)).join("") + push, "latin1");
      const heard = read(cut(wire, places));
      const pushed: Heard = { push: { kind: "smessage", name: "ch", rest: [Buffer.from("a\r\n")] } };
      const wanted: Heard[] = [...sent.flatMap((reply): Heard[] => [pushed, { reply }]), pushed];
      assert.deepStrictEqual(heard, wanted);
    }),
    { numRuns: 2000 },
  );
});

test("one byte at a time", () => {
  const wire = Buffer.from(
    "*2\r\n:-12\r\n$5\r\nhello\r\n,1.5\r\n|1\r\n+a\r\n+b\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n~1\r\n:1\r\n*-1\r\n$-1\r\n",
  );
  const heard = read(Array.from(wire, (byte) => Buffer.from([byte])));
  assert.deepStrictEqual(heard, [
    { reply: [-12, Buffer.from("hello")] },
    { reply: 1.5 },
    { reply: Buffer.from("txt:abc") },
    { reply: new RespError("ERR x") },
    { reply: [1] },
    { reply: null },
    { reply: null },
  ]);
});

test("a large value that comes in many pieces is put together once", () => {
  const value = Buffer.alloc(16 * 1024 * 1024, "x");
  const wire = Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from("\r\n:1\r\n")]);
  const pieces = Array.from({ length: Math.ceil(wire.length / 16_384) }, (_, at) =>
    wire.subarray(at * 16_384, (at + 1) * 16_384),
  );
  assert.deepStrictEqual(read(pieces), [{ reply: value }, { reply: 1 }]);
  const [once, taken] = [fastest(() => Buffer.concat(pieces)), fastest(() => read(pieces))];
  assert.ok(taken < 50 * once, `${taken} ms, and ${once} to copy it: it is copied again and again`);
});

/** How long something takes, in milliseconds: the best of five. */
function fastest(work: () => unknown): number {
  const spent = Array.from({ length: 5 }, () => {
    const begun = performance.now();
    work();
    return performance.now() - begun;
  });
  return Math.min(...spent);
}

test("what is not RESP, or without bounds, is refused", () => {
  const nonsense = [
    "HTTP/1.1 400 Bad Request\r\n",
    "$99999999999\r\n",
    "*99999999\r\n",
    "$-5\r\n",
    ":12x\r\n",
    "$x\r\n",
    "*1\r\n".repeat(40),
    `+${"a".repeat(100_000)}`,
  ];
  for (const text of nonsense) assert.throws(() => read([Buffer.from(text)]), ProtocolError, text.slice(0, 20));
});

test("a command is an array of bulk strings", () => {
  assert.equal(
    encodeCommand(["SET", "kä", Buffer.from([1, 2])]).toString("latin1"),
    "*3\r\n$3\r\nSET\r\n$3\r\nk\xc3\xa4\r\n$2\r\n\x01\x02\r\n",
  );
});
