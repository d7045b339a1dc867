package tieline.responder;

import com.google.protobuf.ByteString;
import io.grpc.Context;
import io.grpc.Context.CancellableContext;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import tieline.v1.EnvelopeOuterClass.Code;
import tieline.v1.EnvelopeOuterClass.Envelope;
import tieline.v1.EnvelopeOuterClass.Error;
import tieline.v1.EnvelopeOuterClass.Outcome;

/**
 * The requests one Link was given. Each runs in a thread and ends in one reply at most: who takes it out of {@code
 * running} may send it, and what the caller cancelled is taken out without one.
 */
final class Calls {
  private static final int RETRY_AFTER_MS = 200;
  private static final long FOREVER_MS = TimeUnit.DAYS.toMillis(1); // no TTL is longer

  private final Map<String, Handler> handlers;
  private final Clock clock;
  private final ExecutorService threads;
  private final ScheduledExecutorService timer;
  private final BiConsumer<Envelope, Envelope> answer; // the request and its reply
  private final Map<ByteString, Call> running = new HashMap<>(); // by call_id
  private final CancellableContext life = Context.ROOT.withCancellation();
  private boolean leaving;

  private record Call(Envelope request, CancellableContext context) {}

  Calls(Responder responder, Clock clock, BiConsumer<Envelope, Envelope> answer) {
    this.handlers = responder.handlers;
    this.threads = responder.threads;
    this.timer = responder.timer;
    this.clock = clock;
    this.answer = answer;
  }

  /** Begins a request, or refuses it. */
  synchronized void take(Envelope request) {
    Handler handler = handlers.get(request.getTopic());
    long left = request.getExpiresAt() > 0 ? clock.until(request.getExpiresAt()) : FOREVER_MS;
    if (handler == null || leaving) {
      refuse(request, Reply.refused(Code.CODE_NO_RESPONDERS, "nobody answers " + request.getTopic() + " here any more"));
    } else if (left <= 0) {
      refuse(request, Reply.refused(Code.CODE_EXPIRED, request.getTopic() + " had expired on arrival"));
    } else {
      begin(request, handler, life.withDeadlineAfter(left, TimeUnit.MILLISECONDS, timer));
    }
  }

  private void begin(Envelope request, Handler handler, CancellableContext context) {
    Call call = new Call(request, context);
    try {
      running.put(request.getCallId(), call);
      Future<?> run = threads.submit(context.wrap(() -> run(call, handler)));
      context.addListener(ended -> run.cancel(true), Runnable::run);
    } catch (RejectedExecutionException full) {
      finish(request.getCallId());
      context.close();
      Error error = Reply.refused(Code.CODE_OVERLOADED, "all threads are busy here");
      refuse(request, error.toBuilder().setRetryAfterMs(RETRY_AFTER_MS).build());
    }
  }

  private void run(Call call, Handler handler) {
    Envelope reply = Reply.of(handler, call.request);
    synchronized (this) { // so that nobody who waits for the last call leaves before its reply
      if (finish(call.request.getCallId()) != null && !call.context.isCancelled()) {
        answer.accept(call.request, reply);
      }
    }
    call.context.close();
  }

  /** Ends a call without a reply: the caller gave up. Unknown and finished calls are ignored. */
  void cancel(ByteString callId) {
    Call call = finish(callId);
    if (call != null) {
      call.context.cancel(null);
    }
  }

  private synchronized Call finish(ByteString callId) {
    Call call = running.remove(callId);
    notifyAll();
    return call;
  }

  /**
   * Takes no more requests and waits for those it has; what still runs after so many milliseconds is cancelled, and its
   * caller told that it may have run.
   */
  synchronized void settle(long milliseconds) throws InterruptedException {
    leaving = true;
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(milliseconds);
    for (long left = milliseconds; !running.isEmpty() && left > 0; ) {
      wait(left);
      left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
    }
    Error lost = Reply.refused(Code.CODE_RESPONDER_LOST, "the responder stopped before the handler was done");
    lost = lost.toBuilder().setOutcome(Outcome.OUTCOME_MAY_HAVE_RUN).build();
    for (Call call : running.values()) {
      refuse(call.request, lost);
    }
    running.clear();
    close();
  }

  /** Cancels whatever runs: nobody waits for it any more. */
  void close() {
    life.cancel(null);
  }

  private void refuse(Envelope request, Error error) {
    answer.accept(request, Reply.refusal(request, error));
  }
}
