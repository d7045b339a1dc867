// Never run: `tsc` proves here what handlers know of their data. A line marked @ts-expect-error must not compile.
import * as v from "valibot";
import { z } from "zod";
import type { Event, EventSystem, Handler, StandardSchema, SubscribeOptions } from "../../src/index.js";

declare const events: EventSystem;

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function is<A>(): <B>(value: B, ...same: Same<A, B> extends true ? [] : [never]) => void;

const zodUser = z.object({ name: z.string(), age: z.string().transform(Number) });
const valibotUser = v.object({ name: v.string(), age: v.pipe(v.string(), v.transform(Number)) });
type Sent = { name: string; age: string };
type User = { name: string; age: number };

// With a schema the handler's data is what the schema makes of it, and the filter's what arrives.
events.subscribe("a.b", (user) => is<User>()(user), { input: zodUser });
events.subscribe("a.b", (user) => is<User>()(user), { input: valibotUser, group: "g" });
events.subscribe("a.b", (user, event) => [is<User>()(user), is<Event>()(event)], { input: zodUser, concurrency: 1 });
events.subscribe("a.b", (user: User) => user.age, {
  input: zodUser,
  filter: (sent) => {
    is<Sent>()(sent);
    return sent.age !== "";
  },
});
// @ts-expect-error: the handler wants something else than the schema makes
events.subscribe("a.b", (user: { name: number }) => user.name, { input: zodUser });
// @ts-expect-error: no Standard Schema
events.subscribe("a.b", () => 1, { input: { parse: () => 1 } });

// The handler of a durable event may say what is to become of it.
events.subscribe("a.b", (user, { delivery }) => [is<User>()(user), is<bigint | undefined>()(delivery?.token)], {
  input: zodUser,
  durable: true,
  start: "latest",
  retry: { maxAttempts: 2 },
  onPoison: "skip",
});
// @ts-expect-error: there is no such way
events.subscribe("a.b", () => 1, { durable: true, onPoison: "drop" });

// A batch is a list of what the schema makes.
events.subscribe("a.b", (users) => is<User[]>()(users), { input: zodUser, batch: { size: 10 } });
events.subscribe<User>("a.b", (users) => is<User[]>()(users), { batch: {} });
events.subscribe<User>("a.b", (users) => is<User[]>()(users), { batch: {}, durable: true, retry: { maxAttempts: 2 } });
// @ts-expect-error: a batch is never answered
events.subscribe("a.b", () => 1, { batch: {}, output: z.number() });

// With an output the handler must return what the schema takes, at once or later.
events.subscribe("a.b", () => ({ name: "x", age: "1" }), { output: zodUser });
events.subscribe("a.b", async (user) => ({ name: user.name, age: String(user.age) }), {
  input: valibotUser,
  output: valibotUser,
});
// @ts-expect-error: the schema takes text
events.subscribe("a.b", () => ({ name: "x", age: 1 }), { output: zodUser });
// @ts-expect-error: the schema takes text, sooner or later
events.subscribe("a.b", async () => ({ name: "x", age: 1 }), { input: zodUser, output: zodUser });

// The items of a stream must fit too.
events.subscribe(
  "a.b",
  async function* () {
    yield { name: "x", age: "1" };
  },
  { output: zodUser },
);
// @ts-expect-error: the schema takes text
events.subscribe("a.b", function* () { yield { name: "x", age: 1 }; }, { output: zodUser }); // biome-ignore format: one line

// Without schemas it is what one says, and else unknown.
events.subscribe("a.b", (data) => is<unknown>()(data));
events.subscribe<number>("a.b", (n) => is<number>()(n), { filter: (n) => n > 1 });
events.subscribe("a.b", (n: number) => n + 1, { filter: (n) => n > 1 });
// @ts-expect-error: no such option
events.subscribe("a.b", () => 1, { groups: "g" });

// Upcasters say what they take; the handler and the filter know only the last version.
events.subscribe("a.b", (user) => is<User>()(user), {
  input: zodUser,
  schemaVersion: "2",
  upcasters: [["1", "2", ({ name }: { name: string }) => ({ name, age: "1" })]],
});
// @ts-expect-error: an upcaster has a version to begin with, one to end with, and a function
events.subscribe("a.b", () => 1, { schemaVersion: "2", upcasters: [["1", () => 1]] });
// @ts-expect-error: a batch is never answered
events.subscribe("a.b", () => 1, { batch: {}, outputSchema: {} });

// A JSON Schema may be of any type that a library has for one.
interface JSONSchema7 {
  type?: string;
}
declare const jsonSchema: JSONSchema7;
events.subscribe("a.b", () => 1, { inputSchema: jsonSchema, outputSchema: { type: "number" } });
// @ts-expect-error: no object
events.subscribe("a.b", () => 1, { inputSchema: "number" });

// Handlers and options that are made elsewhere.
declare const handler: Handler;
declare const options: SubscribeOptions;
declare const schema: StandardSchema;
events.subscribe("a.b", handler);
events.subscribe("a.b", handler, options);
events.subscribe("a.b", (data) => is<unknown>()(data), { input: schema });
