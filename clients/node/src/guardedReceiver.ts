import type { Logger } from "./log.js";
import type { Receiver } from "./transport.js";

/** A receiver that never throws, as links may expect: one envelope must not break a link that many share. */
export function guardedReceiver(receiver: Receiver, log: Logger): Receiver {
  const guarded =
    <Given extends unknown[]>(what: string, take: (...given: Given) => void) =>
    (...given: Given) => {
      try {
        take(...given);
      } catch (error) {
        log.error(`${what} failed`, error);
      }
    };
  return {
    onRequest: guarded("taking a request", (envelope) => receiver.onRequest(envelope)),
    onEvent: guarded("taking an event", (interest, envelope) => receiver.onEvent(interest, envelope)),
    onAnswer: guarded("taking an answer", (envelope) => receiver.onAnswer(envelope)),
    onDispatched: guarded("hearing who took a request", (callId, instance, error) =>
      receiver.onDispatched(callId, instance, error),
    ),
    onJoined: guarded("joining a run", (callId, until, instance) => receiver.onJoined(callId, until, instance)),
    underWay: () => receiver.underWay(),
    onLeft: guarded("giving up what a gateway took with it", (calls) => receiver.onLeft(calls)),
    onMail: guarded("hearing of stored events", (topic, group) => receiver.onMail(topic, group)),
    onWarning: guarded("hearing a warning", (message) => receiver.onWarning(message)),
    onConnected: guarded("going on with a broker that is back", (gap) => receiver.onConnected(gap)),
    onDisconnected: guarded("going on without a broker", (reason) => receiver.onDisconnected(reason)),
  };
}
