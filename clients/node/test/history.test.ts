import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type EventSystem, type HistoryListOptions, type ReplayProgress, EventSystem as System } from "../src/index.js";
import { Gateway } from "./support/gateway.js";
import { fails, sleep, until } from "./support/waiting.js";

const REDIS = process.env.TEST_REDIS_URL ?? "";
const HOW = { where: ["over Redis", "behind a gateway"] } as const;

for (const where of HOW.where) {
  describe(`history ${where}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "tieline-history-"));
    const namespace = where === "over Redis" ? "history-redis" : "history-grpc";
    let gateway: Gateway;
    let events: EventSystem;

    before(async () => {
      const history = ["--history", `sqlite://${join(folder, "history.db")}`];
      gateway = await Gateway.start(["--redis-url", REDIS, "--namespace", namespace, ...history]);
      const url = where === "over Redis" ? REDIS : gateway.url;
      events = await new System(where === "over Redis" ? { url, namespace } : { url, service: "shop" }).start();
    });

    after(async () => {
      await events.close(100);
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    async function recorded(count: number, options: HistoryListOptions): Promise<unknown[]> {
      for (const deadline = Date.now() + 20_000; ; await sleep(20)) {
        const { events: found } = await events.history.list({ ...options, oldestFirst: true, limit: 1_000 });
        if (found.length >= count) return found.map(({ data }) => data);
        assert.ok(Date.now() < deadline, `${found.length} of ${count}`);
      }
    }

    test("history tells what happened, newest first, and is deleted", async () => {
      await events.publish("tell.live", { n: 1 }, { headers: { a: "b" } });
      await sleep(20); // they are told by their times, and a clock that is set may go back by a little
      await events.publish("tell.kept", { n: 2 }, { key: "k" });
      assert.deepStrictEqual(await recorded(2, { types: "tell.*" }), [{ n: 1 }, { n: 2 }]);
      const { events: found, total } = await events.history.list({ types: ["tell.*"], page: 1 });
      const [kept, live] = found;
      assert.ok(kept !== undefined && live !== undefined);
      assert.equal(total, 2);
      assert.deepStrictEqual([live.type, live.status, live.headers], ["tell.live", "processed", { a: "b" }]);
      assert.deepStrictEqual([kept.key, kept.status, kept.expiresAt], ["k", "pending", undefined]);
      assert.ok(Math.abs(Date.now() - live.time.getTime()) < 60_000);
      const again = await events.history.get(kept.id);
      assert.deepStrictEqual({ ...again }, { ...kept });
      const { message } = await fails(events.history.get("nobody"), "NOT_FOUND");
      assert.match(
        message,
        /^history has no event 'nobody': it was not recorded, or retention or somebody has removed it/,
      );
      assert.equal(await events.history.delete({ ids: live.id }), 1);
      assert.equal(await events.history.delete({ types: "tell.kept" }), 1);
      assert.deepStrictEqual((await events.history.list({ types: "tell.>" })).events, []);
    });

    test("cursors go on, pages are counted, large payloads come whole", async () => {
      const large = Buffer.alloc(1_000_000, 7);
      for (const data of [1, 2, 3, 4, large]) {
        await events.publish("pages.of", data);
        await sleep(20); // as above
      }
      await recorded(5, { types: "pages.of" });
      const first = await events.history.list({ types: "pages.of", limit: 3 });
      assert.deepStrictEqual(
        first.events.map(({ data }) => (data instanceof Uint8Array ? data.length : data)),
        [large.length, 4, 3],
      );
      const rest = await events.history.list({ types: "pages.of", cursor: first.cursor });
      assert.deepStrictEqual(
        rest.events.map(({ data }) => data),
        [2, 1],
      );
      assert.equal(rest.cursor, "");
      const beyond = await events.history.list({ types: "pages.of", page: 9, limit: 3 });
      assert.deepStrictEqual([beyond.events, beyond.total], [[], 5]);
    });

    test("figures tell of the store and of each recorder", async () => {
      await events.publish("figures.of", 1);
      await recorded(1, { types: "figures.of" });
      const figures = await events.history.figures();
      assert.ok(figures.events > 0 && figures.newest !== undefined);
      assert.equal(figures.lost, 0);
      const [recorder] = Object.values(figures.recorders);
      assert.ok(recorder !== undefined && recorder.recorded > 0 && recorder.trouble === "");
    });

    test("live and stored events are replayed to a group, unless its handler opted out", async () => {
      const seen: unknown[] = [];
      const kept: unknown[] = [];
      const never: unknown[] = [];
      for (const data of [1, 2]) await events.publish("again.of", data);
      for (const data of [3, 4]) await events.publish("again.of", data, { key: "k" });
      await recorded(4, { types: "again.of" });
      await events.subscribe("again.of", (data, event) => seen.push([data, event.replay]), { group: "live" }).ready();
      await events.subscribe("again.of", (data) => never.push(data), { group: "never", replays: false }).ready();
      const last = await events.history.replay({ types: "again.of", toGroup: "live", speed: null }).wait();
      assert.deepStrictEqual([last.sent, last.skipped, last.total, last.done], [4, 0, 4, true]);
      await until(() => seen.length === 4, "the replay");
      assert.deepStrictEqual(
        seen,
        [1, 2, 3, 4].map((data) => [data, last.id]),
      );
      assert.equal((await events.history.replay({ types: "again.of", toGroup: "never", speed: null }).wait()).sent, 4);
      const durable = { durable: true, group: "kept", start: "latest" } as const;
      await events.subscribe("again.of", (data, event) => kept.push([data, event.replay]), durable).ready();
      const stored = await events.history.replay({ types: "again.of", toGroup: "kept", speed: null }).wait();
      await until(() => kept.length === 4, "the stored ones");
      assert.deepStrictEqual(
        kept.slice().sort(),
        [1, 2, 3, 4].map((data) => [data, stored.id]),
      );
      assert.deepStrictEqual(never, []);
      const nobody = await fails(
        events.history.replay({ types: "again.of", toGroup: "typo", speed: null }).wait(),
        "NOT_FOUND",
      );
      assert.match(nobody.message, /^nobody is in the group 'typo' of 'again.of', so nothing was replayed/);
      assert.deepStrictEqual(nobody.details, { group: "typo", skipped: 4 });
    });

    test("a replay keeps its pace, tells how far it is, and ends when it is left", async () => {
      const seen: unknown[] = [];
      await events.publish("pace.of", 1);
      await sleep(300);
      await events.publish("pace.of", 2);
      await recorded(2, { types: "pace.of" });
      await events.subscribe("pace.here", (data) => seen.push(data)).ready();
      const told: ReplayProgress[] = [];
      for await (const progress of events.history.replay({ types: "pace.of", toTopic: "pace.here", speed: 0.02 })) {
        told.push(progress);
        if (progress.sent > 0) break;
      }
      assert.deepStrictEqual([told[0]?.sent, told[0]?.total, told[0]?.time], [0, 2, undefined]);
      await sleep(300);
      assert.deepStrictEqual(seen, [1]);
      await events.history.replay({ types: "pace.of", toTopic: "pace.here" }).wait();
      await until(() => seen.length === 3, "all of it");
    });

    test("what makes no sense is refused", async () => {
      const { history } = events;
      const [early, late] = [new Date(0), new Date(1)];
      assert.match(
        (await fails(history.list({ start: late, end: early }), "INVALID_ARGUMENT")).message,
        /^start \(1970-01-01T00:00:00.001Z\) is after end \(1970-01-01T00:00:00.000Z\): .* swap them$/,
      );
      const wrong = await fails(history.list({ start: new Date("no day") }), "INVALID_ARGUMENT");
      assert.equal(wrong.message, "start of history.list is a Date, not an invalid Date");
      await fails(history.list({ limit: 1_001 }), "INVALID_ARGUMENT");
      await fails(history.list({ page: 1, cursor: "1-a" }), "INVALID_ARGUMENT");
      const refused = await fails(history.list({ cursor: "x" }), "INVALID_ARGUMENT");
      assert.match(refused.message, /^['"]x['"] is no cursor/);
      await fails(history.list({ types: "a b" }), "INVALID_TOPIC");
      await fails(history.delete({}), "INVALID_ARGUMENT");
      assert.throws(() => history.replay({}), { code: "INVALID_ARGUMENT" });
      assert.throws(() => history.replay({ toTopic: "system.x" }), { code: "INVALID_TOPIC" });
      assert.throws(() => history.replay({ toGroup: "g", speed: 0 }), { code: "INVALID_ARGUMENT" });
      assert.throws(() => events.subscribe("system.history.list", () => 1), { code: "INVALID_TOPIC" });
    });
  });
}

test("without a recorder everybody is told how to start one", async () => {
  const events = new System({ url: "memory://" });
  for (const asked of [
    events.history.list(),
    events.history.figures(),
    events.history.replay({ toGroup: "g" }).wait(),
  ]) {
    assert.match((await fails(asked, "NO_RESPONDERS")).message, /tieline up --history/);
  }
  await events.close();
});
