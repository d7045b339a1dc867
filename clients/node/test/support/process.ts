import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EventSystemOptions } from "../../src/index.js";

const PEER = fileURLToPath(new URL("./peer.js", import.meta.url));

/** A service in a process of its own. */
export class Peer {
  readonly process: ChildProcess;
  readonly said: string[] = [];
  #waiting: { what: RegExp; resolve: (said: string) => void }[] = [];

  private constructor(url: string, options: EventSystemOptions) {
    this.process = fork(PEER, [url, JSON.stringify(options)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.process.on("message", (message) => this.#hear(String(message)));
  }

  static async start(url: string, options: EventSystemOptions = {}): Promise<Peer> {
    const peer = new Peer(url, options);
    await peer.says(/^ready$/);
    return peer;
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Resolves when it has said it, or says it. */
  says(what: RegExp, ms = 40_000): Promise<string> {
    const said = this.said.find((one) => what.test(one));
    if (said !== undefined) return Promise.resolve(said);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the peer never said ${what}, only ${this.said}`)), ms);
      this.#waiting.push({
        what,
        resolve: (one) => {
          clearTimeout(timer);
          resolve(one);
        },
      });
    });
  }

  tell(message: string): void {
    this.process.send(message);
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.process.once("exit", () => resolve());
      this.process.kill(signal);
    });
  }

  #hear(said: string): void {
    this.said.push(said);
    const heard = this.#waiting.filter(({ what }) => what.test(said));
    this.#waiting = this.#waiting.filter((one) => !heard.includes(one));
    for (const { resolve } of heard) resolve(said);
  }
}
