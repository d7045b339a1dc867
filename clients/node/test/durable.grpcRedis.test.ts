import { durableSuite } from "./suite/durableSuite.js";
import { GrpcWorld } from "./support/world.js";

durableSuite(await GrpcWorld.beforeRedis());
