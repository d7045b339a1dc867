import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { AppendOptions, Draft } from "../../src/durable/mail.js";
import type { Log } from "../../src/log.js";
import type { Waiting } from "../../src/outbox/entry.js";
import { OutboxFile } from "../../src/outbox/file.js";
import { lock } from "../../src/outbox/lock.js";
import { encodeRecord, HEADER } from "../../src/outbox/record.js";
import { newFile } from "../support/folder.js";
import { fails } from "../support/waiting.js";

const MIB = 1_048_576;
const warnings: string[] = [];
const quiet = () => undefined;
const log: Log = { debug: quiet, info: quiet, warn: (message) => warnings.push(message), error: quiet };

function draft(text: string | Buffer, key = "k"): Draft {
  return { key, priority: 5, knownAs: `known ${key}`, window: 1, envelope: Buffer.from(text as string) };
}

function put(file: OutboxFile, texts: readonly string[], options?: AppendOptions): Promise<void> {
  return file.put(
    "orders",
    texts.map((text) => draft(text)),
    options,
  );
}

/** All that waits. */
async function all(file: OutboxFile): Promise<Waiting[]> {
  const found: Waiting[] = [];
  for (let page = await file.page(0); page.length > 0; page = await file.page(found.at(-1)?.number ?? 0)) {
    found.push(...page);
  }
  return found;
}

async function texts(file: OutboxFile): Promise<string[]> {
  return (await all(file)).map(({ envelope }) => String(envelope));
}

/** What is in a file, as another process would find it. */
async function found(path: string): Promise<string[]> {
  const file = new OutboxFile(path, log);
  const waiting = await texts(file);
  await file.close();
  return waiting;
}

describe("the file of an outbox", () => {
  test("what was put is there, with all that is known of it, and for the next one", async () => {
    const path = newFile();
    for (const again of [false, true]) {
      const file = new OutboxFile(path, log);
      if (!again) {
        await file.put("orders", [draft("one", "a")], { most: 7 });
        await file.put("items", [draft("two", ""), draft("three", "ü\u{1f600}")], { together: true });
      }
      assert.deepEqual(await file.figures(), { events: 3, bytes: 11 });
      const waiting = (await all(file)).map(({ envelope, ...rest }) => [String(envelope), rest.number, rest.together]);
      assert.deepEqual(waiting, [
        ["one", 1, 0],
        ["two", 2, 3],
        ["three", 3, 3],
      ]);
      const [one, two, three] = await all(file);
      assert.deepEqual(
        [one?.topic, one?.most, one?.key, one?.knownAs, one?.priority],
        ["orders", 7, "a", "known a", 5],
      );
      assert.deepEqual([two?.topic, two?.most, two?.key, three?.key], ["items", 0, "", "ü\u{1f600}"]);
      await file.close();
    }
  });

  test("what the broker has is gone, also for the next one", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    for (const text of ["a", "b", "c", "d", "e"]) await put(file, [text]);
    const [a, , c, d] = (await all(file)) as [Waiting, Waiting, Waiting, Waiting];
    file.remove([a, d]);
    file.remove([c, c]);
    assert.deepEqual(await texts(file), ["b", "e"]);
    assert.deepEqual(await file.figures(), { events: 2, bytes: 2 });
    await file.close();
    assert.deepEqual(await found(path), ["b", "e"]);
  });

  test("what was not written to its end is dropped, wherever it ends, and what comes then is kept", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    const ends: number[] = [];
    for (const text of ["first", "second", "third"]) {
      await put(file, [text]);
      ends.push(statSync(path).size);
    }
    const [, second = 0, third = 0] = ends;
    const cuts = [...Array(HEADER.length + 2).keys(), ...Array(third - second + 2).keys()].map((cut, index) => {
      return index < HEADER.length + 2 ? cut : second - 1 + cut; // in the header, and all through the last record
    });
    for (const size of cuts) {
      const torn = newFile();
      copyFileSync(path, torn);
      truncateSync(torn, size);
      const whole = ends.filter((end) => end <= size).length;
      const next = new OutboxFile(torn, log);
      await put(next, ["next"]);
      await next.close();
      assert.deepEqual(await found(torn), [...["first", "second", "third"].slice(0, whole), "next"], `cut at ${size}`);
    }
    await file.close();
  });

  test("what is not as it was written is dropped, and said", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    await put(file, ["first"]);
    const whole = statSync(path).size;
    await put(file, ["second"]);
    const bytes = readFileSync(path);
    for (let at = whole; at < bytes.length; at++) {
      const bad = newFile();
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x41;
      writeFileSync(bad, changed);
      warnings.length = 0;
      assert.deepEqual(await found(bad), ["first"], `changed at ${at}`);
      assert.match(warnings.join(), new RegExp(`the last ${bytes.length - whole} bytes of the outbox ${bad}`));
      assert.equal(statSync(bad).size, whole);
    }
    await file.close();
  });

  test("what an earlier use of the disk left behind is not taken for what follows", async () => {
    const path = newFile();
    const old = { first: 1, together: false, topic: "t", most: 0, events: [["k", 5, "id", 3]] as const };
    const record = (first: number) => encodeRecord({ ...old, first }, [Buffer.from("old")]);
    writeFileSync(path, Buffer.concat([HEADER, record(5), record(6), record(2)]));
    assert.deepEqual(await found(path), ["old", "old"]);
  });

  test("another file is refused, and left as it is", async () => {
    for (const text of ["name,price\n", "x", "SQLite format 3\0 and so on", "tieline outbox 2\n"]) {
      const path = newFile();
      writeFileSync(path, text);
      const file = new OutboxFile(path, log);
      const error = await fails(put(file, ["a"]), "UNAVAILABLE");
      assert.ok(error.message.startsWith(`the file ${path} cannot be used: it is no outbox of this client`));
      assert.equal(error.message.includes("Python"), text.startsWith("SQLite"));
      assert.equal(error.outcome, "NOT_DELIVERED");
      assert.equal(readFileSync(path, "utf8"), text);
      writeFileSync(path, "");
      await put(file, ["a"]);
      await file.close();
      assert.deepEqual(await found(path), ["a"]);
    }
  });

  test("a folder that is not there is told", async () => {
    const folder = `${newFile()}/folder`;
    const error = await fails(put(new OutboxFile(`${folder}/file`, log), ["a"]), "UNAVAILABLE");
    const why = `there is no folder ${folder}; make it, or choose another path`;
    assert.equal(error.message, `the file ${folder}/file cannot be used: ${why}`);
  });

  test("events that are stored together come in one piece", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    const many = (from: number, count: number) => Array.from({ length: count }, (_, index) => `${from + index}`);
    await put(file, many(0, 300));
    await put(file, many(300, 1200), { together: true });
    await put(file, many(1500, 10));
    const first = await file.page(0);
    assert.deepEqual([first.length, first.at(-1)?.together], [1500, 1500]);
    assert.equal((await file.page(1500)).length, 10);
    await file.close();
    assert.deepEqual(await found(path), many(0, 1510));
  });

  test("a page is of about a mebibyte, also of what is not in memory", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    const envelopes = Array.from({ length: 40 }, () => randomBytes(400_000));
    for (const envelope of envelopes) await file.put("t", [draft(envelope)]);
    assert.equal((await file.page(0)).length, 3);
    const read = (await all(file)).map(({ envelope }) => envelope);
    assert.ok(envelopes.every((envelope, index) => read[index]?.equals(envelope)));
    await file.close();
  });

  test("a full outbox refuses, each by itself, until there is room", async () => {
    const file = new OutboxFile(newFile(), log, 5, 100);
    await put(file, ["1", "2", "3", "4"], { together: true });
    const told = await Promise.allSettled([
      put(file, ["5", "6"], { together: true }),
      put(file, ["5"]),
      put(file, ["6"]),
    ]);
    assert.deepEqual(
      told.map(({ status }) => status),
      ["rejected", "fulfilled", "rejected"],
    );
    const error = await fails(put(file, ["6"]), "OVERLOADED");
    assert.deepEqual(
      [error.outcome, error.retryAfter, error.details],
      ["NOT_DELIVERED", 1000, { events: 5, bytes: 5 }],
    );
    file.remove((await all(file)).slice(0, 1));
    await fails(put(file, ["x".repeat(97)]), "OVERLOADED");
    await put(file, ["x".repeat(96)]);
    await file.close();
  });

  test("without anything that waits the file is short", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    for (let round = 0; round < 5; round++) {
      await file.put("t", [draft(randomBytes(MIB))]);
      file.remove(await all(file));
      await file.figures();
    }
    await put(file, ["last"]);
    assert.ok(statSync(path).size < 2.5 * MIB, String(statSync(path).size));
    file.remove(await all(file));
    await file.close();
    assert.deepEqual(readFileSync(path), HEADER);
  });

  test("what waits for long does not make the file grow without end", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    const old = Array.from({ length: 10 }, () => randomBytes(MIB));
    for (const envelope of old) await file.put("old", [draft(envelope)]);
    await put(file, ["batch 1", "batch 2"], { together: true });
    for (let round = 0; round < 60; round++) {
      await file.put("t", [draft(randomBytes(MIB))]);
      file.remove((await all(file)).filter(({ topic }) => topic === "t"));
    }
    await put(file, ["new"]);
    assert.ok(statSync(path).size < 50 * MIB, String(statSync(path).size));
    assert.ok(!existsSync(`${path}-new`));
    for (const again of [false, true]) {
      const next = again ? new OutboxFile(path, log) : file;
      const waiting = await all(next);
      assert.ok(old.every((envelope, index) => waiting[index]?.envelope.equals(envelope)));
      assert.deepEqual(
        waiting.slice(10).map(({ envelope, together }) => [String(envelope), together]),
        [
          ["batch 1", 12],
          ["batch 2", 12],
          ["new", 0],
        ],
      );
      await next.close();
    }
  });

  test("a link to a file is followed", async () => {
    const [path, link] = [newFile(), newFile()];
    const file = new OutboxFile(path, log);
    await put(file, ["a"]);
    symlinkSync(path, link);
    await fails(put(new OutboxFile(link, log), ["b"]), "UNAVAILABLE");
    await file.close();
    assert.deepEqual(await found(link), ["a"]);
  });

  test("a full disk is told, what is kept stays, and when there is room again all is well", () => {
    const child = fileURLToPath(new URL("../support/fullDisk.js", import.meta.url));
    const script = `ulimit -f 2048; exec "$0" "$1" "$2"`; // in kibibytes, or half as many
    const said = execFileSync("sh", ["-c", script, process.execPath, child, newFile()], { encoding: "utf8" });
    const [refused, kept, ...rest] = said.trim().split("\n");
    assert.equal(refused, "refused UNAVAILABLE NOT_DELIVERED");
    assert.match(kept ?? "", /^kept (10|20) true true$/);
    assert.deepEqual(rest, ["small", "read true", "after 1", "reopened 1"]);
  });

  test("a disk that fails to sync leaves it open whether an event is kept, and the file is read anew", async (t) => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    await put(file, ["first"]);
    const [first] = await all(file);
    const handle = await open(path);
    const failing = t.mock.method(Object.getPrototypeOf(handle), "datasync", () =>
      Promise.reject(new Error("EIO: i/o error")),
    );
    const error = await fails(put(file, ["lost"]), "UNAVAILABLE");
    assert.deepEqual(
      [error.outcome, error.message],
      ["MAY_HAVE_RUN", `the file ${path} cannot be used: EIO: i/o error`],
    );
    file.remove([first as Waiting]);
    failing.mock.restore();
    await put(file, ["second"]);
    assert.deepEqual(await texts(file), ["second"]);
    assert.deepEqual(
      (await all(file)).map(({ number }) => number),
      [2],
    );
    await fails(put(new OutboxFile(path, log), ["other"]), "UNAVAILABLE"); // it never let go of it
    await handle.close();
    await file.close();
    assert.deepEqual(await found(path), ["second"]);
  });

  test("a file that cannot be made shorter is used as it is", async () => {
    const path = newFile();
    const file = new OutboxFile(path, log);
    await put(file, ["old"]);
    mkdirSync(`${path}-new`);
    warnings.length = 0;
    for (let round = 0; round < 20; round++) {
      await file.put("t", [draft(randomBytes(MIB))]);
      file.remove((await all(file)).filter(({ topic }) => topic === "t"));
    }
    assert.equal(warnings.length, 1); // not at each event
    assert.match(String(warnings), /the outbox could not be made shorter: UNAVAILABLE: the file .* EISDIR/);
    await put(file, ["new"]);
    await file.close();
    assert.deepEqual(await found(path), ["old", "new"]);
  });

  test("whatever happens, all that was kept and is not stored is there, in its order", async () => {
    const step = fc.oneof(
      fc.record({
        put: fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 4 }),
        together: fc.boolean(),
      }),
      fc.record({ remove: fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 8 }) }),
      fc.constant("reopen" as const),
      fc.constant("tear" as const),
    );
    const steps = fc.array(step, { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const path = newFile();
        let file = new OutboxFile(path, log);
        let [model, count] = [[] as string[], 0];
        await file.figures(); // it is there
        for (const each of script) {
          if (each === "reopen" || each === "tear") {
            await file.close();
            if (each === "tear") writeFileSync(path, randomBytes(7), { flag: "a" });
            file = new OutboxFile(path, log);
          } else if ("put" in each) {
            const more = each.put.map((size) => `${count++} `.padEnd(size, "x"));
            await put(file, more, { together: each.together });
            model.push(...more);
          } else {
            const waiting = await all(file);
            const chosen = new Set(each.remove.filter((index) => index < waiting.length));
            file.remove(waiting.filter((_, index) => chosen.has(index)));
            model = model.filter((_, index) => !chosen.has(index));
          }
          assert.deepEqual(await texts(file), model);
        }
        await file.close();
        assert.deepEqual(await found(path), model);
      }),
      { numRuns: 25 },
    );
  });
});

describe("the lock of an outbox", () => {
  for (const PATH of new Set([process.env.PATH, "/nowhere"])) {
    test(`one has it at a time, with PATH=${PATH === "/nowhere" ? PATH : "as it is"}`, async () => {
      const [usual, path] = [process.env.PATH, newFile()];
      process.env.PATH = PATH;
      try {
        const release = await lock(path);
        assert.ok(release !== undefined);
        assert.equal(await lock(path), undefined);
        const other = await lock(newFile());
        assert.ok(other !== undefined);
        await release();
        const next = await lock(path);
        assert.ok(next !== undefined);
        await Promise.all([next(), other()]);
      } finally {
        process.env.PATH = usual;
      }
    });
  }
});
