import { transportSuite } from "./suite/transportSuite.js";
import { MemoryWorld } from "./support/world.js";

transportSuite(new MemoryWorld());
