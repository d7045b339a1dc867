import { connect } from "node:net";
import { encodeCommand, type Reply, RespReader } from "../../src/transports/resp.js";
import type { RedisServer } from "./server.js";

/** What a server replies to a command, on a connection of its own. */
export function ask(redis: RedisServer, ...parts: (string | Buffer)[]): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect(redis.port, "127.0.0.1", () => socket.write(encodeCommand(parts)));
    const onReply = (reply: Reply) => {
      socket.destroy();
      resolve(reply);
    };
    const reader = new RespReader({ onReply, onPush: () => undefined });
    socket.once("error", reject);
    socket.on("data", (data) => reader.feed(data));
  });
}

/** Breaks the connections whose name matches, as a server that is restarted would. */
export async function killLinks(redis: RedisServer, name: RegExp): Promise<number> {
  const lines = String(await ask(redis, "CLIENT", "LIST")).split("\n");
  const ids = lines
    .filter((line) => name.test(/ name=(\S*)/.exec(line)?.[1] ?? ""))
    .map((line) => /id=(\d+)/.exec(line)?.[1]);
  for (const id of ids) await ask(redis, "CLIENT", "KILL", "ID", String(id));
  return ids.length;
}
