import { existsSync, statSync } from "node:fs";
import { parse, resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { getEventSystem } from "./defaultSystem.js";
import { InvalidArgumentError, TielineError } from "./errors.js";
import { EventSystem } from "./events.js";
import { CLIENT } from "./version.js";

const NAMES = ["events", "app", "default"] as const;
const TARGET = /^(?<path>.+?)(?::(?<name>[\p{L}$_][\p{L}\p{N}$_]*))?$/u;
const EXIT_CODES: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 2,
  UNAVAILABLE: 6,
  UNAUTHENTICATED: 7,
  PERMISSION_DENIED: 7,
};
const USAGE = `usage: tieline run MODULE[:NAME]

Imports a module and serves its event system until SIGTERM or Ctrl-C; then finishes what runs.

  tieline run ./orders.js        the EventSystem exported as \`events\`, \`app\` or default, or getEventSystem()
  tieline run ./orders.js:bus    the one exported as \`bus\`
  tieline --version
`;

/**
 * Runs the command line. Resolves to the exit code: 0 after a clean stop; 2 if what was typed cannot be meant, 6 if the
 * broker cannot be reached, 7 if it does not let us in, 1 if something else went wrong before it served.
 */
export async function runCommand(words: readonly string[]): Promise<number> {
  const [command, target] = words;
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (words.length === 1 && command === "--version") {
    process.stdout.write(`tieline ${CLIENT.slice(CLIENT.indexOf("/") + 1)}\n`);
    return 0;
  }
  if (command !== "run" || target === undefined || words.length !== 2) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    await serve(target);
    return 0;
  } catch (error) {
    if (!(error instanceof TielineError)) throw error;
    process.stderr.write(`tieline: ${error.code}: ${error.message}\n`);
    return EXIT_CODES[error.code] ?? 1;
  }
}

async function serve(target: string): Promise<void> {
  const events = await load(target);
  if (events.closed) return; // it has served itself
  await events.start();
  const over = events.serve();
  await nextTurn(); // who reads the line below may tell it to stop
  const topics = [...new Set(events.subscriptions.map(({ topic }) => topic))].sort().join(", ");
  process.stdout.write(`tieline: ${events.service}/${events.instance} serves ${topics || "nothing"}\n`);
  await over;
}

/** The event system that `module` or `module:name` stands for. Throws InvalidArgumentError if there is none. */
async function load(target: string): Promise<EventSystem> {
  const { path = "", name = "" } = TARGET.exec(target)?.groups ?? {};
  const file = resolve(path);
  if (!existsSync(file))
    throw new InvalidArgumentError(`there is no module "${path}" here; give its path: ./orders.js`);
  if (statSync(file).isDirectory())
    throw new InvalidArgumentError(`"${path}" is a folder; give the module in it: ./orders.js`);
  process.env.TIELINE_SERVICE ||= parse(file).name;
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const found = (name === "" ? NAMES : [name]).map((each) => module[each]).find((each) => each instanceof EventSystem);
  if (found !== undefined) return found;
  if (name === "" && getEventSystem().subscriptions.length > 0) return getEventSystem();
  throw new InvalidArgumentError(`module "${path}" exports no EventSystem named ${name || NAMES.join(", ")}`);
}
