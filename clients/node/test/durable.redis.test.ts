import { durableSuite } from "./suite/durableSuite.js";
import { RedisWorld } from "./support/world.js";

durableSuite(await RedisWorld.start());
