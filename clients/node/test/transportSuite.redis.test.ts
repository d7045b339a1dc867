import { transportSuite } from "./suite/transportSuite.js";
import { RedisWorld } from "./support/world.js";

transportSuite(await RedisWorld.start());
