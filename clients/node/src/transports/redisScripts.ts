import type { Script } from "../contract/scripts.js";
import type { Expecting } from "./redisExpecting.js";
import type { RedisLink } from "./redisLink.js";
import { encodeCommand, encodeParts, type Reply, RespError } from "./resp.js";

/** The head of a script's command, to be followed by so many more arguments. */
export function scriptHead(script: Script, names: readonly string[], more: number): Buffer {
  const fixed = ["EVALSHA", script.sha, String(script.names), ...names];
  return Buffer.concat([Buffer.from(`*${fixed.length + more}\r\n`), encodeParts(fixed)]);
}

/** Runs a script by its source, which also makes the server remember it. */
export function sendSource(
  link: RedisLink,
  script: Script,
  names: readonly string[],
  rest: readonly (string | Buffer)[],
  expecting: Expecting,
): void {
  link.send(encodeCommand(["EVAL", script.source, String(script.names), ...names, ...rest]), [], expecting);
}

/** Whether the server has forgotten the script; it did not run. */
export function isForgotten(reply: Reply): boolean {
  return reply instanceof RespError && reply.kind === "NOSCRIPT";
}

/** Runs a script; sends its source if the server has forgotten it. Rejects with RespError or LinkDownError. */
export async function runScript(
  link: RedisLink,
  script: Script,
  names: readonly string[],
  rest: readonly (string | Buffer)[],
): Promise<Reply> {
  try {
    return await link.ask(scriptHead(script, names, rest.length), rest);
  } catch (error) {
    if (!isForgotten(error as Reply)) throw error;
    return link.call("EVAL", script.source, String(script.names), ...names, ...rest);
  }
}
