import { after, afterEach, describe } from "node:test";
import type { World } from "../support/world.js";
import { durableTests } from "./durable.js";
import { durableBatchTests } from "./durableBatches.js";
import { durableExplainedTests } from "./durableExplained.js";
import { durableForeignTests } from "./durableForeign.js";
import { durableGatewayTests } from "./durableGateways.js";
import { durableGroupTests } from "./durableGroups.js";
import { durableLeaseTests } from "./durableLeases.js";
import { durableLetterTests } from "./durableLetters.js";
import { durableLifeTests } from "./durableLife.js";
import { durableManyTests } from "./durableMany.js";
import { durableOnceRedisTests, durableOnceTests } from "./durableOnce.js";
import { durableOutboxTests } from "./durableOutbox.js";
import { durablePlainTests } from "./durablePlain.js";
import { durableRedriveTests } from "./durableRedrive.js";
import { durableReplicaTests } from "./durableReplicas.js";
import { durableRetentionTests } from "./durableRetention.js";
import { durableRetryTests } from "./durableRetries.js";
import { durableFiguresTests } from "./figures.js";
import { durableScheduleTests } from "./schedules.js";
import { durableSystemEventTests } from "./systemEvents.js";

/** What holds for durable events on every transport that has them, and what holds on this one. */
export function durableSuite(world: World): void {
  describe(`durable events over ${world.name}`, () => {
    afterEach(() => world.clean());
    after(() => world.stop());
    durableTests(world);
    durableRetryTests(world);
    durableGroupTests(world);
    durableLetterTests(world);
    durableRedriveTests(world);
    durableExplainedTests(world);
    durableLifeTests(world);
    durableManyTests(world);
    durableBatchTests(world);
    durableReplicaTests(world);
    durableOnceTests(world);
    durableOutboxTests(world);
    durableFiguresTests(world);
    durableScheduleTests(world);
    durableSystemEventTests(world);
    if (world.redis !== undefined) durableOnceRedisTests(world, world.redis);
    if (world.redis !== undefined) durableForeignTests(world, world.redis);
    if (world.redis !== undefined) durableLeaseTests(world, world.redis);
    if (world.redis !== undefined) durablePlainTests(world, world.redis);
    if (world.redis !== undefined) durableRetentionTests(world, world.redis);
    if (world.gateway !== undefined) durableGatewayTests(world, world.gateway);
  });
}
