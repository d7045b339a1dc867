import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSystem } from "../../src/index.js";
import { parseRedisUrl } from "../../src/transports/redisUrl.js";

test("an unknown parameter of a Redis URL is told with those that are known", () => {
  for (const query of ["foo=1", "db=1&namespace=a", "ssl_min_version=2", "foo"]) {
    assert.throws(() => new EventSystem(`redis://localhost?${query}`), {
      code: "INVALID_ARGUMENT",
      message: /unknown parameter "(foo|namespace|ssl_min_version)"; known are db, username, password, ssl_ca_certs,/,
    });
  }
});

test("what means something to others only is let pass", () => {
  assert.equal(parseRedisUrl("redis://localhost?decode_responses=True&socket_timeout=5").name, "localhost:6379");
});

test("user, password and database may be parameters", () => {
  const given = parseRedisUrl("redis://localhost?username=ada&password=p%40ss&db=3");
  assert.deepStrictEqual([given.username, given.password, given.database], ["ada", "p@ss", 3]);
  const both = parseRedisUrl("redis://bob:word@localhost?username=ada&password=pass");
  assert.deepStrictEqual([both.username, both.password], ["bob", "word"]);
});
