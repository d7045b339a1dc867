import { type ChildProcess, spawn } from "node:child_process";
import { repositoryPython } from "./server.js";

/** A gateway in a process of its own; it keeps its port when it is started again. */
export class Gateway {
  #port = 0;
  readonly #options: string[];
  #process: ChildProcess | undefined;

  private constructor(options: string[]) {
    this.#options = options;
  }

  static async start(options: string[] = []): Promise<Gateway> {
    const gateway = new Gateway(options);
    await gateway.start();
    return gateway;
  }

  /** Whether what is stored outlives it: there is a broker behind it. */
  get keeps(): boolean {
    return this.#options.includes("--redis-url");
  }

  /** Where it listens; it chose that when it was first started. */
  get port(): number {
    return this.#port;
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
      "--http",
      "none",
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
        const [, port] = /serving gRPC on 127\.0\.0\.1:(\d+) /.exec(said) ?? [];
        if (port === undefined) return;
        this.#port = Number(port);
        resolve();
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
