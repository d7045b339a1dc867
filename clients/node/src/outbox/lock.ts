import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createServer } from "node:net";
import { resolve } from "node:path";

/** Of the BSDs, macOS among them: a file that is opened is locked, or refused at once if it is. */
const O_EXLOCK_NONBLOCK = 0x24;
const BUSY = new Set(["EAGAIN", "EWOULDBLOCK", "EADDRINUSE"]);
const HELD = 1;

/** What ends a lock. */
export type Release = () => Promise<void>;

/**
 * Locks a path for this process; the lock ends with the process, however that ends. Resolves to undefined if somebody else
 * has it. Node has no locks of its own, so the kernel's are come by as they can be: beside the path there is a file
 * `<path>-lock`, which stays.
 */
export async function lock(path: string): Promise<Release | undefined> {
  if (process.platform === "win32") return listen(`\\\\.\\pipe\\tieline-outbox-${encodeURIComponent(resolve(path))}`);
  const linux = process.platform === "linux";
  const file = await opened(`${path}-lock`, linux ? 0 : O_EXLOCK_NONBLOCK);
  if (file === undefined) return undefined;
  const release = linux ? await lockOpened(file) : () => file.close();
  if (release === undefined) await file.close();
  return release;
}

async function opened(path: string, more: number): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT | more, 0o666);
  } catch (error) {
    if (isBusy(error)) return undefined;
    throw error;
  }
}

/** `flock` locks what is open here on its behalf; where there is none, a name in the kernel says that the file is taken. */
async function lockOpened(file: FileHandle): Promise<Release | undefined> {
  const code = await flock(file.fd).catch(() => undefined);
  if (code === HELD) return undefined;
  if (code === 0) return () => file.close();
  const { dev, ino } = await file.stat({ bigint: true });
  const release = await listen(`\0tieline-outbox-${dev}-${ino}`);
  return release && (() => release().then(() => file.close()));
}

function flock(fd: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
    child.once("error", reject).once("exit", resolve);
  });
}

/** Takes a name that one process has at a time. */
function listen(name: string): Promise<Release | undefined> {
  const server = createServer().unref();
  const release = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  return new Promise((resolve, reject) => {
    server.once("error", (error) => (isBusy(error) ? resolve(undefined) : reject(error)));
    server.listen(name, () => resolve(release));
  });
}

function isBusy(error: unknown): boolean {
  return BUSY.has((error as NodeJS.ErrnoException).code ?? "");
}
