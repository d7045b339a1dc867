// Testing services: event systems inside the test, a clock turned by hand, a recorder, and a network with faults.
// Nothing of it needs a server, a test framework, or time.

export { Clock } from "./clock.js";
export { Faults, type Kind, type Rule, type RuleOptions } from "./faults.js";
export { type Expected, type Recorded, Recorder, type WaitOptions } from "./recorder.js";
export { Broker, type BrokerOptions, System, type SystemOptions, system, use } from "./system.js";
