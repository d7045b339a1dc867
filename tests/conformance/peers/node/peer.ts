// The peer in Node: commands come on stdin, reports go to stdout, each after its length in four bytes.
import { writeSync } from "node:fs";
import {
  type CallOptions,
  EventSystem,
  type Logger,
  MemoryBroker,
  MemoryTransport,
  type PublishOptions,
  type Replay,
  type ReplayProgress,
  type Stream,
  type StreamOptions,
  type Subscription,
} from "tieline";
import {
  answer,
  explained,
  failure,
  figuresOf,
  gathered,
  jobOf,
  ranOf,
  read,
  receiptOf,
  receiptsOf,
  scheduledOf,
} from "./answers.js";
import {
  type Answer,
  type Call,
  type Close,
  Command,
  type Cron,
  CronAct,
  type Gather,
  type Open,
  type Publish,
  type PublishMany,
  type Read,
  Report,
  type Schedule,
  ScheduleAct,
  type Subscribe,
  type Replay as WantedReplay,
  type Stream as WantedStream,
} from "./contract/peer.js";
import { DONE, Handling, type Sent, type Tell } from "./handling.js";
import { askHistory, progressOf, replay, replayedOf } from "./history.js";
import { given, itemsOf, messageOptions, retryOf, settingsOf, storing, subscribeOptions, whenOf } from "./options.js";
import { fromNative, toNative } from "./values.js";

const STDOUT = 1;
/** How long others have to tell of a chain; peers share two cores with many, so that some seconds prove nothing. */
const ASK_MS = 30_000;
const QUIET: Logger = { debug() {}, warn() {}, error() {} };

/** Event systems and subscriptions, by the names that the runner gave them. */
class Peer {
  readonly #memory = new MemoryBroker();
  readonly #systems = new Map<string, EventSystem>();
  readonly #subscriptions = new Map<string, [Subscription, Handling]>();
  readonly #streams = new Map<string, [Stream | Replay, AbortController]>();
  readonly #calls = new Map<number, AbortController>();

  /** Takes commands until stdin ends. */
  async serve(): Promise<void> {
    tell({ $case: "hello", value: { language: "node" } });
    let rest = Buffer.alloc(0);
    for await (const chunk of process.stdin) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
        const end = 4 + rest.readUInt32BE();
        this.#run(Command.decode(rest.subarray(4, end)));
        rest = rest.subarray(end);
      }
    }
    process.exit(0);
  }

  #run(command: Command): void {
    this.#do(command)
      .catch(failure)
      .then((what) => tell({ $case: "answer", value: { ...what, number: command.number } }));
  }

  async #do({ do: wanted, system, number }: Command): Promise<Answer> {
    switch (wanted?.$case) {
      case "open":
        return await this.#open(system, wanted.value);
      case "close":
        return await this.#close(system, wanted.value);
      case "subscribe":
        return await this.#subscribe(this.#system(system), wanted.value);
      case "unsubscribe":
        await this.#subscription(wanted.value.id)[0].unsubscribe();
        return DONE;
      case "publish":
      case "call":
        return await this.#until(number, async (signal) => (await send(this.#system(system), wanted, signal))[1]);
      case "publishMany":
        return await this.#until(number, (signal) => publishMany(this.#system(system), wanted.value, signal));
      case "schedule":
        return await schedule(this.#system(system), wanted.value);
      case "cron":
        return await cron(this.#system(system), wanted.value);
      case "history":
        return await askHistory(this.#system(system), wanted.value);
      case "replay":
        return await this.#replay(replay(this.#system(system), wanted.value), wanted.value);
      case "stream":
        return this.#stream(this.#system(system), wanted.value);
      case "read":
        return await this.#read(number, wanted.value);
      case "leave":
        return await this.#leave(wanted.value.id);
      case "gather":
        return await this.#until(number, (signal) => gather(this.#system(system), wanted.value, signal));
      case "explain":
        return explained(await this.#system(system).explain(wanted.value.correlationId, { ttl: ASK_MS }));
      case "metrics":
        return await metricsOf(this.#system(system), wanted.value.topic);
      case "cancel":
        this.#calls.get(wanted.value.call)?.abort();
        return DONE;
      case "release":
        for (let n = wanted.value.count || 1; n > 0; n--) this.#subscription(wanted.value.id)[1].gate.open();
        return DONE;
      default:
        throw new TypeError("an unknown command");
    }
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  async #open(name: string, wanted: Open): Promise<Answer> {
    const where =
      wanted.url === "memory://"
        ? { transport: new MemoryTransport(this.#memory) } // one broker for all systems of the process
        : { url: wanted.url, namespace: wanted.namespace };
    if (wanted.record !== "") throw new TypeError("a program in Node does not record");
    const settings = settingsOf(wanted.settings);
    const system = new EventSystem({ ...where, service: wanted.service || "peer", settings, logger: QUIET });
    await system.start();
    this.#systems.set(name, system);
    return answer({ $case: "opened", value: { instance: system.instance } });
  }

  async #close(name: string, wanted: Close): Promise<Answer> {
    const system = this.#system(name);
    this.#systems.delete(name);
    await system.close(wanted.drainMs);
    return DONE;
  }

  // --- subscriptions -------------------------------------------------------------------------------------------------

  async #subscribe(system: EventSystem, wanted: Subscribe): Promise<Answer> {
    const handling = new Handling(wanted, (sent) => send(system, sent), tell);
    const subscription = system.subscribe(wanted.topic, handling.function, subscribeOptions(wanted));
    this.#subscriptions.set(wanted.id, [subscription, handling]);
    await subscription.ready();
    return DONE;
  }

  // --- publish and call ----------------------------------------------------------------------------------------------

  /** Its command can be given up until it is done. */
  async #until(
    number: number,
    done: (signal: AbortSignal) => Promise<Answer>,
    controller = new AbortController(),
  ): Promise<Answer> {
    this.#calls.set(number, controller);
    try {
      return await done(controller.signal);
    } finally {
      this.#calls.delete(number);
    }
  }

  // --- streams -------------------------------------------------------------------------------------------------------

  #stream(system: EventSystem, wanted: WantedStream): Answer {
    const controller = new AbortController();
    this.#streams.set(wanted.id, [stream(system, wanted, controller.signal), controller]);
    return DONE;
  }

  async #replay(begun: Replay, { id, wait }: WantedReplay): Promise<Answer> {
    if (wait) return replayedOf(await begun.wait());
    this.#streams.set(id, [begun, new AbortController()]);
    return DONE;
  }

  /** Giving up a read gives up the stream, as a cancelled task does in other languages. */
  #read(number: number, { id, count }: Read): Promise<Answer> {
    const [stream, controller] = this.#opened(id);
    const shown = "wait" in stream ? (item: unknown) => progressOf(item as ReplayProgress) : (item: unknown) => item;
    return this.#until(number, () => read(stream, count, shown), controller);
  }

  async #leave(id: string): Promise<Answer> {
    const [stream] = this.#opened(id);
    this.#streams.delete(id);
    await stream.return();
    return DONE;
  }

  #opened(id: string): [Stream | Replay, AbortController] {
    const found = this.#streams.get(id);
    if (found === undefined) throw new TypeError(`no stream ${id}`);
    return found;
  }

  #system(name: string): EventSystem {
    const found = this.#systems.get(name);
    if (found === undefined) throw new TypeError(`no system ${name}`);
    return found;
  }

  #subscription(id: string): [Subscription, Handling] {
    const found = this.#subscriptions.get(id);
    if (found === undefined) throw new TypeError(`no subscription ${id}`);
    return found;
  }
}

async function send(system: EventSystem, sent: Sent, signal?: AbortSignal): Promise<[unknown, Answer]> {
  if (sent.$case === "stream") return readAll(stream(system, sent.value, signal));
  const options = { ...messageOptions(sent.value.options), ...(signal && { signal }) };
  return sent.$case === "publish" ? publish(system, sent.value, options) : call(system, sent.value, options);
}

async function publish(system: EventSystem, wanted: Publish, options: PublishOptions): Promise<[unknown, Answer]> {
  const all = { ...options, ...storing(wanted), waitLocal: wanted.waitLocal };
  return [undefined, receiptOf(await system.publish(wanted.topic, dataOf(wanted), all))];
}

async function publishMany(system: EventSystem, wanted: PublishMany, signal: AbortSignal): Promise<Answer> {
  const { headers: _, ...options } = messageOptions(wanted.options);
  const all = { ...options, ...given({ maxStored: wanted.maxStored }), signal };
  return receiptsOf(await system.publishMany(wanted.topic, wanted.items.flatMap(itemsOf), all));
}

async function schedule({ schedules }: EventSystem, wanted: Schedule): Promise<Answer> {
  switch (wanted.act) {
    case ScheduleAct.SCHEDULE_ACT_GET:
      return scheduledOf(await schedules.get(wanted.id));
    case ScheduleAct.SCHEDULE_ACT_CANCEL:
      return scheduledOf(await schedules.cancel(wanted.id));
    case ScheduleAct.SCHEDULE_ACT_RESCHEDULE:
      return scheduledOf(await schedules.reschedule(wanted.id, whenOf(wanted)));
    case ScheduleAct.SCHEDULE_ACT_RETRY:
      return scheduledOf(await schedules.retry(wanted.id, whenOf(wanted)));
    default:
      throw new TypeError("an unknown act");
  }
}

async function cron({ cron: tasks }: EventSystem, wanted: Cron): Promise<Answer> {
  const { name, act, expression, topic, data, call, key, zone, retries, retryDelayMs: retryDelay } = wanted;
  const options = given({ call, key, zone, retries, retryDelay });
  switch (act) {
    case CronAct.CRON_ACT_CREATE:
      return jobOf(await tasks.create(name, expression ?? "", topic ?? "", data && toNative(data), options));
    case CronAct.CRON_ACT_UPDATE: {
      const changes = { ...options, ...given({ expression, topic }), ...(data && { data: toNative(data) }) };
      return jobOf(await tasks.update(name, changes));
    }
    case CronAct.CRON_ACT_GET:
      return jobOf(await tasks.get(name));
    case CronAct.CRON_ACT_PAUSE:
      return jobOf(await tasks.pause(name));
    case CronAct.CRON_ACT_RESUME:
      return jobOf(await tasks.resume(name));
    case CronAct.CRON_ACT_RUN_NOW:
      return ranOf(await tasks.runNow(name));
    case CronAct.CRON_ACT_DELETE:
      return jobOf(await tasks.delete(name));
    default:
      throw new TypeError("an unknown act");
  }
}

async function call(system: EventSystem, wanted: Call, options: CallOptions): Promise<[unknown, Answer]> {
  const more: CallOptions = { idempotent: wanted.idempotent };
  if (wanted.waitForRespondersMs !== undefined) more.waitForResponders = wanted.waitForRespondersMs;
  if (wanted.idempotencyKey !== undefined) more.idempotencyKey = wanted.idempotencyKey;
  if (wanted.retry !== undefined) more.retry = retryOf(wanted.retry);
  const reply = await system.publishAndWait(wanted.topic, dataOf(wanted), { ...options, ...more });
  return [reply, answer({ $case: "value", value: fromNative(reply) })];
}

function stream(system: EventSystem, wanted: WantedStream, signal?: AbortSignal): Stream {
  const options: StreamOptions = { ...messageOptions(wanted.options), idempotent: wanted.idempotent };
  if (wanted.waitForRespondersMs !== undefined) options.waitForResponders = wanted.waitForRespondersMs;
  if (wanted.totalMs !== undefined) options.total = wanted.totalMs;
  if (wanted.window > 0) options.window = wanted.window;
  if (signal !== undefined) options.signal = signal;
  return system.publishAndStream(wanted.topic, dataOf(wanted), options);
}

async function readAll(stream: Stream): Promise<[unknown, Answer]> {
  const items: unknown[] = [];
  for await (const item of stream) items.push(item);
  return [items, answer({ $case: "value", value: fromNative(items) })];
}

async function gather(system: EventSystem, wanted: Gather, signal: AbortSignal): Promise<Answer> {
  const { maxReplies, everyInstance } = wanted;
  const options = { ...messageOptions(wanted.options), maxReplies, everyInstance, signal };
  return gathered(await system.publishAndGather(wanted.topic, dataOf(wanted), options));
}

async function metricsOf(system: EventSystem, topic: string): Promise<Answer> {
  return figuresOf(system.metrics(), topic, await system.prometheus());
}

function dataOf({ data }: Publish | Call | WantedStream | Gather): unknown {
  return data && toNative(data);
}

const tell: Tell = (report) => {
  const data = Report.encode({ report }).finish();
  const message = Buffer.alloc(4 + data.length);
  message.writeUInt32BE(data.length);
  message.set(data, 4);
  for (let sent = 0; sent < message.length; ) sent += writeSome(message.subarray(sent));
};

/** Writes what there is room for; the pipe of a slow runner has none for a while. */
function writeSome(bytes: Buffer): number {
  try {
    return writeSync(STDOUT, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}

await new Peer().serve();
