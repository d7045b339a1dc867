import { after, afterEach, describe } from "node:test";
import type { World } from "../support/world.js";
import { broadcastTests } from "./broadcast.js";
import { brokerTests } from "./broker.js";
import { callTests } from "./calls.js";
import { cronTests } from "./cron.js";
import { figuresTests } from "./figures.js";
import { gatewayTests } from "./gateways.js";
import { gatherTests } from "./gather.js";
import { groupTests } from "./groups.js";
import { idempotencyTests } from "./idempotency.js";
import { insideTests } from "./inside.js";
import { leavingTests } from "./leaving.js";
import { lifeTests } from "./life.js";
import { middlewareTests } from "./middleware.js";
import { raisingTests } from "./raising.js";
import { retryTests } from "./retries.js";
import { redisScheduleTests, scheduleTests } from "./schedules.js";
import { schemaTests } from "./schemas.js";
import { serviceTests } from "./services.js";
import { streamTests } from "./streams.js";
import { subscriptionTests } from "./subscriptions.js";
import { systemEventTests } from "./systemEvents.js";
import { versionTests } from "./versions.js";

/** One suite proves all transports equal. */
export function transportSuite(world: World): void {
  describe(world.name, () => {
    afterEach(() => world.clean());
    after(() => world.stop());
    broadcastTests(world);
    groupTests(world);
    callTests(world);
    leavingTests(world);
    streamTests(world);
    gatherTests(world);
    idempotencyTests(world);
    retryTests(world);
    insideTests(world);
    figuresTests(world);
    raisingTests(world);
    subscriptionTests(world);
    middlewareTests(world);
    schemaTests(world);
    versionTests(world);
    serviceTests(world);
    scheduleTests(world);
    cronTests(world);
    systemEventTests(world);
    if (world.processes) lifeTests(world);
    if (world.redis) brokerTests(world, world.redis);
    if (world.redis) redisScheduleTests(world, world.redis);
    if (world.gateway) gatewayTests(world, world.gateway);
  });
}
