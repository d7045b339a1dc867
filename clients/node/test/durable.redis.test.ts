import { after, afterEach, describe } from "node:test";
import { durableTests } from "./suite/durable.js";
import { durableGroupTests } from "./suite/durableGroups.js";
import { durableLeaseTests } from "./suite/durableLeases.js";
import { durableLetterTests } from "./suite/durableLetters.js";
import { durableRetryTests } from "./suite/durableRetries.js";
import { RedisWorld } from "./support/world.js";

const world = await RedisWorld.start();

describe("durable events over Redis", () => {
  afterEach(() => world.clean());
  after(() => world.stop());
  durableTests(world);
  durableRetryTests(world, world.redis);
  durableGroupTests(world, world.redis);
  durableLeaseTests(world, world.redis);
  durableLetterTests(world);
});
