import { type ChildProcess, spawn } from "node:child_process";
import { freePort, repositoryPython } from "./server.js";

/** A gateway in a process of its own; it keeps its port when it is started again. */
export class Gateway {
  readonly port: number;
  readonly #options: string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, options: string[]) {
    this.port = port;
    this.#options = options;
  }

  static async start(options: string[] = []): Promise<Gateway> {
    const gateway = new Gateway(await freePort(), options);
    await gateway.start();
    return gateway;
  }

  /** Whether what is stored outlives it: there is a broker behind it. */
  get keeps(): boolean {
    return this.#options.includes("--redis-url");
  }

  get url(): string {
    return `grpc://127.0.0.1:${this.port}`;
  }

  start(): Promise<void> {
    const command = [
      "-m",
      "tieline_gateway",
      "up",
      "--listen",
      `127.0.0.1:${this.port}`,
      "--drain",
      "1",
      ...this.#options,
    ];
    const running = spawn(repositoryPython(), command, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = running;
    return new Promise((resolve, reject) => {
      let said = "";
      const hear = (data: Buffer) => {
        said += String(data);
        if (said.includes(`:${this.port}`)) resolve();
      };
      running.stdout?.on("data", hear);
      running.stderr?.on("data", hear);
      running.once("error", reject);
      running.once("exit", (code) => reject(new Error(`the gateway ended with ${code}: ${said}`)));
    });
  }

  stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const running = this.#process;
    if (running === undefined) return Promise.resolve();
    this.#process = undefined;
    return new Promise((resolve) => {
      running.once("exit", () => resolve());
      running.kill(signal);
    });
  }
}
