import { transportSuite } from "./suite/transportSuite.js";
import { GrpcWorld } from "./support/world.js";

transportSuite(await GrpcWorld.beforeRedis());
