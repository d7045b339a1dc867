import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A way to a server on which bytes get lost: what it says, what it is told, and whole connections. */
export class Lossy {
  /** What the server says is lost. */
  deaf = false;
  /** What the server is told is lost. */
  mute = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      near.on("data", (data) => void (this.mute || far.write(data)));
      far.on("data", (data) => void (this.deaf || near.write(data)));
      for (const [one, other] of [[near, far] as const, [far, near] as const]) {
        this.#sockets.add(one);
        one.on("error", () => undefined);
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  /** Before the server on a port of this machine. */
  static async before(port: number): Promise<Lossy> {
    const lossy = new Lossy(port);
    lossy.#server.listen(0, "127.0.0.1");
    await once(lossy.#server, "listening");
    return lossy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** All connections break, and from now on nothing is lost. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.deaf = this.mute = false;
  }

  stop(): void {
    this.#server.close();
    this.cut();
  }
}
