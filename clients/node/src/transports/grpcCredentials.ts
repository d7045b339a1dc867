import { type CallCredentials, ChannelCredentials } from "@grpc/grpc-js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;
type Socket = Awaited<ReturnType<Connector["connect"]>>["socket"];

/**
 * The credentials of one Link, which say by what socket it goes. gRPC keeps the process alive as long as there is a stream,
 * and has no other place where one could tell it not to.
 */
export class LinkCredentials extends ChannelCredentials {
  readonly #inner: ChannelCredentials;
  #kept = true;
  #socket: Socket | undefined;

  constructor(inner: ChannelCredentials) {
    super();
    this.#inner = inner;
  }

  /** Whether the connection keeps the process alive. */
  keepAlive(kept: boolean): void {
    this.#kept = kept;
    if (kept) this.#socket?.ref();
    else this.#socket?.unref();
  }

  /** See `ChannelCredentials`. */
  override _isSecure(): boolean {
    return this.#inner._isSecure();
  }

  /** See `ChannelCredentials`: no two Links share a connection. */
  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  /** See `ChannelCredentials`. */
  override _createSecureConnector(...given: Parameters<ChannelCredentials["_createSecureConnector"]>): Connector {
    const inner = this.#inner._createSecureConnector(...given);
    return {
      connect: async (tcp) => {
        const connected = await inner.connect(tcp);
        this.#socket = connected.socket;
        this.keepAlive(this.#kept);
        return connected;
      },
      waitForReady: () => inner.waitForReady(),
      getCallCredentials: (): CallCredentials => inner.getCallCredentials(),
      destroy: () => inner.destroy(),
    };
  }
}
