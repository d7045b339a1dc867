import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import type pg from "pg";
import { MemoryIdempotencyStore } from "../../src/durable/idempotency.js";
import { type Handling, InvalidArgumentError, idempotencyStore, type SqlClient } from "../../src/index.js";
import { PostgresServer } from "../support/postgres.js";
import { ask } from "../support/redis.js";
import { RedisServer } from "../support/server.js";
import { fails, sleep } from "../support/waiting.js";

const EVENT: Handling = { group: "default", topic: "orders", id: "018f" };
const MINUTE = 60_000;
const HAS_SQLITE = isBuiltin("node:sqlite");

const folder = mkdtempSync(join(tmpdir(), "tieline-stores-"));
const redis = await RedisServer.start();
const postgres = await PostgresServer.start();
const pools: pg.Pool[] = [];
let place = 0;

after(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await Promise.all([redis.stop(), postgres.stop()]);
  rmSync(folder, { recursive: true });
});

/** Connections to the database. */
function pool(): pg.Pool {
  const made = postgres.pool();
  pools.push(made);
  return made;
}

/** Where a store can be; each test has a place of its own, and each call is another way there. */
const PLACES: Record<string, () => string | SqlClient> = {
  memory: () => "memory://",
  redis: () => redis.url,
  postgres: () => pool(),
  ...(HAS_SQLITE && { sqlite: () => `sqlite://${folder}/handled%20${place}.db` }),
};

beforeEach(async () => {
  place += 1;
  await pool().query("DROP TABLE IF EXISTS tieline_handlings");
});

for (const [kind, where] of Object.entries(PLACES)) {
  describe(`what was handled is remembered in ${kind}`, () => {
    const open = (window = 400) => idempotencyStore(where(), { window, namespace: `place${place}` });

    test("an event is begun once and done for a while", async () => {
      const store = open();
      assert.equal(await store.begin(EVENT, "a", MINUTE), "begun");
      assert.equal(await store.begin(EVENT, "b", MINUTE), "busy");
      assert.equal(await store.begin(EVENT, "a", MINUTE), "begun", "its owner may begin anew");
      await store.done(EVENT);
      for (const owner of ["a", "b"]) assert.equal(await store.begin(EVENT, owner, MINUTE), "done");
      await sleep(500);
      assert.equal(await store.begin(EVENT, "b", MINUTE), "begun");
      await store.close();
    });

    test("who died holds an event no longer than its lease", async () => {
      const store = open();
      assert.equal(await store.begin(EVENT, "a", 300.5), "begun");
      assert.equal(await store.begin(EVENT, "b", 300), "busy");
      await sleep(400);
      assert.equal(await store.begin(EVENT, "b", MINUTE), "begun");
      await store.giveUp(EVENT, "a");
      assert.equal(await store.begin(EVENT, "a", MINUTE), "busy");
      await store.close();
    });

    test("an owner that begins again keeps it", async () => {
      const store = open();
      for (let time = 0; time < 3; time++) {
        assert.equal(await store.begin(EVENT, "a", 3000), "begun");
        await sleep(1100);
      }
      assert.equal(await store.begin(EVENT, "b", 3000), "busy");
      await store.close();
    });

    test("what is given up may be begun at once", async () => {
      const store = open();
      assert.equal(await store.begin(EVENT, "a", MINUTE), "begun");
      await store.giveUp(EVENT, "b");
      assert.equal(await store.begin(EVENT, "b", MINUTE), "busy");
      await store.giveUp(EVENT, "a");
      await store.giveUp(EVENT, "a");
      assert.equal(await store.begin(EVENT, "b", MINUTE), "begun");
      await store.close();
    });

    test("what is done is not given up", async () => {
      const store = open(MINUTE);
      await store.begin(EVENT, "a", MINUTE);
      await store.done(EVENT);
      await store.giveUp(EVENT, "a");
      assert.equal(await store.begin(EVENT, "b", MINUTE), "done");
      await store.close();
    });

    test("groups, topics and ids are told apart", async () => {
      const store = open(MINUTE);
      await store.done(EVENT);
      for (const other of [{ group: "other" }, { topic: "other" }, { id: "other" }]) {
        assert.equal(await store.begin({ ...EVENT, ...other }, "a", MINUTE), "begun");
      }
      assert.equal(await store.begin(EVENT, "a", MINUTE), "done");
      await store.close();
    });

    test("of many that begin at once one may", async () => {
      const stores = kind === "memory" ? [open()] : [open(), open(), open()];
      const owners = Array.from({ length: 60 }, (_, number) => `owner ${number}`);
      const begun = owners.map((owner, number) => stores[number % stores.length]?.begin(EVENT, owner, MINUTE));
      const standings = await Promise.all(begun);
      assert.deepEqual(standings.sort(), ["begun", ...Array.from({ length: 59 }, () => "busy")]);
      await Promise.all(stores.map((store) => store.close()));
    });

    if (kind === "memory") return;

    test("what is done outlives the store, and another store sees it", async () => {
      for (const expected of ["begun", "done"]) {
        const store = open(MINUTE);
        assert.equal(await store.begin(EVENT, "a", MINUTE), expected);
        await store.done(EVENT);
        await store.close();
        assert.equal(await store.begin(EVENT, "a", MINUTE), "done", "a closed store opens again");
        await store.close();
      }
    });
  });
}

test("a store that cannot be reached says so, and works when it can be", async () => {
  const server = await RedisServer.start();
  const gone = await PostgresServer.start();
  const lost = gone.pool();
  const stores = [idempotencyStore(server.url), idempotencyStore(lost)];
  await server.kill();
  await gone.stop();
  if (HAS_SQLITE) stores.push(idempotencyStore(`sqlite://${folder}/no/such/folder.db`));
  for (const store of stores) {
    for (const ask of [store.begin(EVENT, "a", 1000), store.done(EVENT), store.giveUp(EVENT, "a")]) {
      await fails(ask, "UNAVAILABLE");
    }
  }
  await server.start();
  assert.equal(await stores[0]?.begin(EVENT, "a", 1000), "begun");
  await Promise.all(stores.map((store) => store.close()));
  await lost.end();
  await server.stop();
});

test("who may not make tables uses the one that is there", async () => {
  const owner = pool();
  const store = idempotencyStore(owner);
  await store.done(EVENT);
  await owner.query("DROP ROLE IF EXISTS guest");
  await owner.query("CREATE ROLE guest; GRANT SELECT, INSERT, UPDATE, DELETE ON tieline_handlings TO guest");
  const connection = await pool().connect();
  await connection.query("SET ROLE guest");
  await assert.rejects(connection.query("CREATE TABLE other (id INTEGER)"), /permission denied/);
  assert.equal(await idempotencyStore(connection).begin(EVENT, "a", 1000), "done");
  await owner.query("DROP TABLE tieline_handlings");
  const error = await fails(idempotencyStore(connection).begin(EVENT, "a", 1000), "UNAVAILABLE");
  assert.match(error.message, /permission denied for schema public/);
  connection.release(true);
  await owner.query("DROP ROLE guest");
});

test("rows that are over are removed", async () => {
  const client = pool();
  await idempotencyStore(client, { window: 1 }).done(EVENT);
  await sleep(20);
  await idempotencyStore(client).begin({ ...EVENT, id: "other" }, "a", MINUTE);
  const { rows } = await client.query("SELECT id FROM tieline_handlings");
  assert.deepEqual(rows, [{ id: "other" }]);
});

test("installations on one Redis are told apart by their namespace and database", async () => {
  const stores = [{}, { namespace: "shop" }].map((options) => idempotencyStore(redis.url, options));
  stores.push(idempotencyStore(`${redis.url}/1`, { namespace: "shop" }));
  for (const store of stores) assert.equal(await store.begin(EVENT, "a", MINUTE), "begun");
  for (const store of stores) assert.equal(await store.begin(EVENT, "b", MINUTE), "busy");
  await Promise.all(stores.map((store) => store.close()));
});

test("a closed store has no connection to Redis any more", async () => {
  const connections = async () =>
    String(await ask(redis, "CLIENT", "LIST")).split("name=tieline:idempotency").length - 1;
  const before = await connections();
  const store = idempotencyStore(redis.url);
  await store.begin(EVENT, "a", 1000);
  assert.equal(await connections(), before + 1);
  await store.close();
  for (const deadline = Date.now() + 10_000; (await connections()) > before && Date.now() < deadline; ) await sleep(20);
  assert.equal(await connections(), before);
});

test("memory forgets what is over", async () => {
  let now = 0;
  const store = new MemoryIdempotencyStore(1000, () => now);
  for (let number = 0; number < 10_000; number++) {
    now += 10;
    await store.done({ ...EVENT, id: String(number) });
  }
  assert.ok(store.size <= 1000, String(store.size));
});

for (const url of [
  "",
  "postgres://x",
  "sqlite://",
  "sqlite:///",
  "sqlite://host/file.db",
  "memory",
  7,
  {},
  undefined,
]) {
  test(`an address that is none is refused: ${JSON.stringify(url)}`, () => {
    assert.throws(() => idempotencyStore(url as string), InvalidArgumentError);
  });
}

for (const window of [0, -1, Number.NaN, "5", true, 400 * 86_400_000]) {
  test(`a window that is none is refused: ${String(window)}`, () => {
    for (const where of ["memory://", "sqlite:///file.db", "redis://localhost"]) {
      assert.throws(() => idempotencyStore(where, { window: window as number }), InvalidArgumentError);
    }
  });
}

if (!HAS_SQLITE) {
  test("a file is refused, for this Node has no SQLite", () => {
    assert.throws(() => idempotencyStore(`sqlite://${folder}/file.db`), { code: "UNSUPPORTED", message: /redis:\/\// });
  });
}
