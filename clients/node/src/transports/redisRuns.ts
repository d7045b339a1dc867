import { conflict, errorReply, replyFor, tooMany, withoutKey } from "../calls/ledger.js";
import { LIMIT_JOINERS } from "../contract/contract.js";
import {
  CLAIM_RUN,
  claimRunNames,
  RELEASE_RUN,
  releaseRunNames,
  SETTLE_RUN,
  settleRunNames,
} from "../contract/scripts.js";
import { type Envelope, serializeFrame } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { ENVELOPE_BYTES } from "../linkWait.js";
import type { Settings } from "../settings.js";
import { LinkDownError, type RedisLink } from "./redisLink.js";
import type { RedisPort } from "./redisPort.js";
import { runScript } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import type { Reply } from "./resp.js";

type ReplyTo = (callId: Buffer) => Envelope;

const INSTANCE_BYTES = 16;

/** A result that could not be stored yet. */
interface Unsettled {
  readonly port: RedisPort;
  readonly to: string;
  readonly reply: Envelope;
}

/** Requests with an idempotency key on Redis: claimed, joined, settled, released (SPEC.md, section 12). */
export class RedisRuns {
  readonly #prefix: string;
  readonly #settings: Settings;
  #unsettled: Unsettled[] = [];
  #unsettledBytes = 0;

  constructor(prefix: string, settings: Settings) {
    this.#prefix = prefix;
    this.#settings = settings;
  }

  /** Hands a request to a responder, unless its run is under way or done; the port's receiver is told. */
  claim(link: RedisLink, port: RedisPort, request: Envelope, avoid: string): void {
    const { id, topic, idempotencyKey, fingerprint, callId, expiresAt } = request;
    const lease = Math.max(1, expiresAt - port.clock.now());
    const caller = Buffer.concat([Buffer.from(port.instance), callId]);
    const numbers = [lease, this.#settings.idempotencyWindow, LIMIT_JOINERS].map(String);
    const rest = [id, fingerprint, ...numbers, caller, avoid, serializeFrame(request)];
    runScript(link, CLAIM_RUN, claimRunNames(this.#prefix, topic, idempotencyKey), rest).then(
      (reply) => told(port, request, callId, reply),
      (error) => port.receiver.onDispatched(callId, "", commandError(error)),
    );
  }

  /** Stores a result and answers everyone who waits for it; kept for a while if the link is down. */
  settle(link: RedisLink | undefined, port: RedisPort, to: string, reply: Envelope): void {
    if (link === undefined) return this.#keep({ port, to, reply });
    const names = settleRunNames(this.#prefix, reply.topic, reply.idempotencyKey);
    const mine = withoutKey(reply);
    const own = Buffer.concat([Buffer.from(to), reply.callId]);
    runScript(link, SETTLE_RUN, names, [reply.fingerprint, String(this.#settings.idempotencyWindow), mine]).then(
      (answer) => {
        const [counts = "", ...waiting] = listOf(answer);
        answerAll(port, [own, ...waiting], (callId) => replyFor(bytesOf(counts), callId));
      },
      (error) => {
        if (error instanceof LinkDownError) return this.#keep({ port, to, reply });
        // It could not be stored; everyone shall have the reply all the same.
        const plain = (callId: Buffer) => replyFor(mine, callId);
        answerAll(port, [own], plain);
        this.#giveUp(link, port, reply, reply.causationId, plain);
      },
    );
  }

  /** Gives up a claim; who joined it gets the error. */
  release(link: RedisLink | undefined, port: RedisPort, request: Envelope, error: TielineError): void {
    this.#giveUp(link, port, request, request.id, (callId) => errorReply(callId, error));
  }

  #giveUp(link: RedisLink | undefined, port: RedisPort, about: Envelope, token: string, reply: ReplyTo): void {
    if (link === undefined) return; // the claim ends by itself
    const names = releaseRunNames(this.#prefix, about.topic, about.idempotencyKey);
    runScript(link, RELEASE_RUN, names, [token]).then(
      (waiting) => answerAll(port, listOf(waiting), reply),
      () => undefined,
    );
  }

  /** The link is back: settles what could not be settled. */
  resume(): void {
    this.#unsettledBytes = 0;
    for (const { port, to, reply } of this.#unsettled.splice(0)) port.answer(to, reply);
  }

  /** Beyond the bound it is dropped; its caller will learn that the link broke, and the claim will end. */
  #keep(unsettled: Unsettled): void {
    const size = unsettled.reply.data.length + ENVELOPE_BYTES;
    if (this.#unsettledBytes + size > this.#settings.offlineBuffer) return;
    this.#unsettledBytes += size;
    this.#unsettled.push(unsettled);
  }
}

/** What became of a claim. */
function told({ receiver }: RedisPort, request: Envelope, callId: Buffer, reply: Reply): void {
  const [verdict = "", found = "", runner = ""] = listOf(reply);
  const what = String(verdict);
  if (what === "taken" || what === "nobody") receiver.onDispatched(callId, String(found), undefined);
  else if (what === "joined") receiver.onJoined(callId, Number(found), String(runner));
  else if (what === "done") receiver.onAnswer(replyFor(bytesOf(found), callId, request.idempotencyKey));
  else receiver.onAnswer(errorReply(callId, what === "conflict" ? conflict(request) : tooMany(request)));
}

/** Answers everyone who waits, each once and with its own call id. */
function answerAll(port: RedisPort, waiting: readonly Reply[], reply: ReplyTo): void {
  const everyone = new Map(waiting.map(bytesOf).map((caller) => [caller.toString("latin1"), caller]));
  for (const [to, callId] of [...everyone.values()].map(callerOf)) port.answer(to, reply(callId));
}

function callerOf(caller: Reply): [string, Buffer] {
  const bytes = bytesOf(caller);
  return [bytes.toString("latin1", 0, INSTANCE_BYTES), bytes.subarray(INSTANCE_BYTES)];
}

function listOf(reply: Reply): Reply[] {
  return Array.isArray(reply) ? reply : [];
}

function bytesOf(reply: Reply): Buffer {
  return reply instanceof Buffer ? reply : Buffer.from(String(reply), "latin1");
}
