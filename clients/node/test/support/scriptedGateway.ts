import { type GatewayItem, LinkRequest } from "../../src/contract/gateway.js";
import { UnavailableError } from "../../src/index.js";
import type { Gateway, Item, LinkStream, Said, StreamEvents } from "../../src/transports/grpcLink.js";

const ASKED: ReadonlySet<Item["$case"]> = new Set(["register", "unregister", "event", "drain"]);

/** The far end of a Link, which says what a test wants it to say. It greets, and confirms at once unless it is `slow`. */
export class ScriptedLink {
  readonly heard: Item[] = [];
  slow = false;
  readonly #events: StreamEvents;
  #unconfirmed: number[] = [];
  #over = false;

  constructor(
    readonly instance: string,
    events: StreamEvents,
  ) {
    this.#events = events;
  }

  say(said: Said): void {
    const item: GatewayItem = { item: said };
    if (!this.#over) this.#events.onItems([item]);
  }

  /** Confirms what waits for it. */
  confirm(): void {
    for (const ref of this.#unconfirmed.splice(0)) this.say({ $case: "done", value: { ref, error: undefined } });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onEnd("it ended", new UnavailableError("it ended"));
  }

  /** What it was told under this name. */
  told<Case extends Item["$case"]>(name: Case): Extract<Item, { $case: Case }>[] {
    return this.heard.filter((item): item is Extract<Item, { $case: Case }> => item.$case === name);
  }

  get stream(): LinkStream {
    return {
      write: (frame, written) => {
        for (const { item } of LinkRequest.decode(frame).items) if (item !== undefined) this.#hear(item);
        setImmediate(written);
      },
      end: () => setImmediate(() => this.end()),
      cancel: () => this.end(),
      keepAlive: () => {},
    };
  }

  #hear(item: Item): void {
    this.heard.push(item);
    if (item.$case === "hello") {
      const value = { instance: this.instance, time: Date.now() };
      setImmediate(() => this.say({ $case: "welcome", value }));
    } else if (ASKED.has(item.$case) && "ref" in item.value) {
      this.#unconfirmed.push(item.value.ref);
      if (!this.slow) setImmediate(() => this.confirm());
    }
  }
}

/** Several gateways as one port sees them: one Link after another, wherever they lead. */
export class ScriptedGateways {
  readonly links: ScriptedLink[] = [];
  /** Whether Links that come from now on are slow. */
  slow = false;

  /** So many of them. */
  gateways(count: number): Gateway[] {
    return [...Array(count).keys()].map((number) => ({
      address: `gateway-${number}`,
      open: (events) => this.#open(events),
      late: () => new UnavailableError("late"),
    }));
  }

  #open(events: StreamEvents): LinkStream {
    const link = new ScriptedLink(`${this.links.length}`.padStart(16, "0"), events);
    link.slow = this.slow;
    this.links.push(link);
    return link.stream;
  }
}
