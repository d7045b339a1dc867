import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { LIMIT_MESSAGE_BYTES } from "../contract/contract.js";
import { LinkResponse } from "../contract/gateway.js";
import {
  InvalidArgumentError,
  PermissionDeniedError,
  type TielineError,
  UnauthenticatedError,
  UnavailableError,
  UnsupportedError,
} from "../errors.js";
import type { Settings } from "../settings.js";
import type { Port, Receiver, Transport } from "../transport.js";
import { CLIENT } from "../version.js";
import { adviceFor, reasonOf } from "./grpcAdvice.js";
import { LinkCredentials } from "./grpcCredentials.js";
import type { Gateway, LinkStream, StreamEvents } from "./grpcLink.js";
import { GrpcPort } from "./grpcPort.js";
import { type GatewayTargets, parseTargets, readToken } from "./grpcUrl.js";
import { readPem, usePem } from "./pem.js";

const METHOD = "/tieline.v1.EventGateway/Link";
const OPTIONS = {
  "grpc.max_receive_message_length": LIMIT_MESSAGE_BYTES,
  "grpc.max_send_message_length": LIMIT_MESSAGE_BYTES,
  // A ping every 10 s stays below what any server that permits pings at all allows.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // Back-off is ours: a new channel knows nothing of earlier failures.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
};

/** A gateway, and what opens its door. */
interface Target {
  readonly address: string;
  readonly tls: boolean;
  readonly credentials: ChannelCredentials;
  readonly token: string;
  readonly tokenFile: string;
}

/**
 * The way to one gateway, or to one of several, for one event system: `grpc://host:port`, or `grpcs://:token@host:port`
 * for TLS; with commas between the addresses of several gateways in front of one Redis, of which one is used and the
 * others take over. `?ca=`, `?cert=`, `?key=` name PEM files: the authority that signed the gateway's certificate, and
 * the client's own certificate and key; `?token_file=` a file with the token, which is read for each Link anew.
 */
export class GrpcTransport implements Transport {
  readonly #gateways: readonly Gateway[];
  readonly #settings: Settings;
  #port: GrpcPort | undefined;
  #closed = false;

  /** Throws InvalidArgumentError for an address that is none, or a file that cannot be read. */
  constructor(url: string, options: { settings: Settings }) {
    const targets = parseTargets(url);
    const { token, tokenFile, tls } = targets;
    const door = { token, tokenFile, tls, credentials: credentialsFor(targets) };
    this.#gateways = targets.addresses.map((address) => gatewayAt({ address, ...door }));
    this.#settings = options.settings;
  }

  /** See `Transport.open`; rejects with UnsupportedError if a port is open already. */
  async open(service: string, receiver: Receiver): Promise<Port> {
    if (this.#port !== undefined) {
      throw new UnsupportedError("a Link is one instance: make another GrpcTransport for another event system");
    }
    const port = new GrpcPort(
      this.#gateways,
      { service, client: CLIENT, moves: this.#gateways.length > 1 },
      receiver,
      this.#settings,
    );
    await port.start();
    this.#port = port;
    if (!this.#closed) return port;
    await port.close();
    throw new UnavailableError("the event system is closed", { outcome: "NOT_DELIVERED" });
  }

  /** See `Transport.close`. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#port?.close();
  }
}

function gatewayAt(target: Target): Gateway {
  return {
    address: target.address,
    open: (events) => openStream(target, events),
    late: () => unreachable(target, "no answer in time"),
  };
}

/** A stream on a channel of its own. */
function openStream(target: Target, events: StreamEvents): LinkStream {
  const door = new LinkCredentials(target.credentials);
  const client = new Client(target.address, door, OPTIONS);
  const metadata = new Metadata();
  const token = tokenOf(target);
  if (token !== "") metadata.set("authorization", `Bearer ${token}`);
  const call = client.makeBidiStreamRequest(METHOD, asBytes, LinkResponse.decode, metadata);
  const end = (reason: string, refusal: TielineError) => {
    client.close();
    events.onEnd(reason, refusal);
  };
  call.on("data", (frame: LinkResponse) => events.onItems(frame.items));
  call.on("error", (error: ServiceError) => end(`${status[error.code]}: ${error.details}`, refusal(target, error)));
  call.on("end", () => end("the gateway ended the link", unreachable(target, "it ended the link without a welcome")));
  return {
    write: (frame, written) => void call.write(frame, written),
    end: () => void call.end(),
    cancel: () => call.cancel(),
    keepAlive: (kept) => door.keepAlive(kept),
  };
}

/** Nothing where the file cannot be read now, and then the gateway refuses it. */
function tokenOf({ token, tokenFile }: Target): string {
  try {
    return tokenFile === "" ? token : readToken(tokenFile);
  } catch {
    return "";
  }
}

function asBytes(frame: Buffer): Buffer {
  return frame;
}

/** TLS if the URL asks for it, with the files it names. */
function credentialsFor({ tls, files }: GatewayTargets): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const read = (name: string) => (files[name] === undefined ? null : readPem(files[name]));
  return usePem(() => credentials.createSsl(read("ca"), read("key"), read("cert")));
}

function unreachable(target: Target, why: string): UnavailableError {
  const reason = reasonOf(why);
  return new UnavailableError(
    `no gateway can be reached at ${target.address} (${reason}); ${adviceFor(target.tls, reason)}`,
    { outcome: "NOT_DELIVERED" },
  );
}

function refusal(target: Target, error: ServiceError): TielineError {
  const text = error.details || (status[error.code] ?? "");
  switch (error.code) {
    case status.UNAUTHENTICATED:
      return new UnauthenticatedError(
        `the gateway at ${target.address} refused the credentials; put the token into the URL's password (${text})`,
      );
    case status.PERMISSION_DENIED:
      return new PermissionDeniedError(`the gateway at ${target.address} does not permit the link: ${text}`);
    case status.UNIMPLEMENTED:
      return new UnsupportedError(`${target.address} speaks gRPC but is no Tieline gateway (${text})`);
    case status.INVALID_ARGUMENT:
      return new InvalidArgumentError(`the gateway at ${target.address} refused the link: ${text}`);
    default:
      return unreachable(target, text);
  }
}
