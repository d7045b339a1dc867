package tieline.responder;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import tieline.v1.EnvelopeOuterClass.Code;
import tieline.v1.EnvelopeOuterClass.Envelope;
import tieline.v1.EventGatewayGrpc.EventGatewayStub;
import tieline.v1.Gateway.ClientItem;
import tieline.v1.Gateway.Delivery;
import tieline.v1.Gateway.Done;
import tieline.v1.Gateway.Drain;
import tieline.v1.Gateway.GatewayItem;
import tieline.v1.Gateway.Hello;
import tieline.v1.Gateway.Interest;
import tieline.v1.Gateway.LinkRequest;
import tieline.v1.Gateway.LinkResponse;
import tieline.v1.Gateway.Ping;
import tieline.v1.Gateway.Pong;
import tieline.v1.Gateway.Register;
import tieline.v1.Gateway.Route;
import tieline.v1.Gateway.SendAnswer;
import tieline.v1.Gateway.Welcome;

/**
 * One stream to the gateway, and so one instance: from Hello to its end.
 *
 * <pre>Hello → Welcome → Register → Done → any number of Delivery and SendAnswer → Drain → Done → end</pre>
 *
 * gRPC calls {@code onNext} for one frame after the other; handlers run elsewhere.
 */
final class Link implements StreamObserver<LinkResponse> {
  private static final long PING_EVERY_MS = 2_000;
  private static final long PONG_WITHIN_MS = 3_000;
  private static final long DRAIN_MS = 10_000;
  private static final long REGISTERING = 1; // the refs of our questions
  private static final long LEAVING = 2;
  private static final long PINGING = 3;

  private final Responder responder;
  private final Calls calls;
  private final Clock clock = new Clock();
  private final CompletableFuture<Status> ended = new CompletableFuture<>();
  private final CompletableFuture<Void> left = new CompletableFuture<>();
  private final ClientCallStreamObserver<LinkRequest> up;
  private boolean closed; // nothing more can be sent
  private String instance = "";
  private long helloAt;
  private volatile long pingAt;
  private volatile Future<?> pongDue = CompletableFuture.completedFuture(null);

  Link(Responder responder, EventGatewayStub gateway) {
    this.responder = responder;
    this.calls = new Calls(responder, clock, this::answer);
    this.up = (ClientCallStreamObserver<LinkRequest>) gateway.link(this);
  }

  /** Says hello; the rest follows from what the gateway says. */
  void start() {
    helloAt = System.nanoTime();
    Hello hello = Hello.newBuilder().setService(responder.service).setClient("java-example/1").build();
    send(ClientItem.newBuilder().setHello(hello));
    ping();
  }

  /** Answers requests until the stream ends; returns why it did. */
  Status serve() {
    Status why = ended.join();
    pongDue.cancel(false);
    calls.close();
    return why;
  }

  // --- what the gateway says -----------------------------------------------------------------------------------------

  @Override
  public void onNext(LinkResponse frame) {
    frame.getItemsList().forEach(this::hear);
  }

  @Override
  public void onError(Throwable error) {
    end(Status.fromThrowable(error));
  }

  @Override
  public void onCompleted() {
    end(Status.OK);
  }

  /** Knows the items a responder needs. Others are not an error: a newer gateway may say more. */
  private void hear(GatewayItem item) {
    switch (item.getItemCase()) {
      case WELCOME -> welcomed(item.getWelcome());
      case DONE -> answered(item.getDone());
      case DELIVERY -> deliver(item.getDelivery());
      case PONG -> ponged(item.getPong());
      default -> {}
    }
  }

  private void welcomed(Welcome welcome) {
    instance = welcome.getInstance();
    clock.learn(welcome.getTime(), helloAt, System.nanoTime());
    Register.Builder question = Register.newBuilder().setRef(REGISTERING);
    for (String topic : responder.handlers.keySet()) {
      question.addInterests(Interest.newBuilder().setRoute(Route.ROUTE_REQUEST).setPattern(topic));
    }
    send(ClientItem.newBuilder().setRegister(question));
  }

  private void answered(Done done) {
    if (done.getRef() == LEAVING) {
      left.complete(null);
    } else if (done.getRef() == REGISTERING && done.hasError()) {
      boolean away = done.getError().getCode() == Code.CODE_UNAVAILABLE;
      end((away ? Status.UNAVAILABLE : Status.INVALID_ARGUMENT).withDescription(done.getError().getMessage()));
    } else if (done.getRef() == REGISTERING) {
      responder.ready.accept(instance);
    }
  }

  private void deliver(Delivery delivery) {
    try {
      Envelope envelope = Envelope.parseFrom(delivery.getEnvelope());
      switch (envelope.getKind()) {
        case KIND_REQUEST -> calls.take(envelope);
        case KIND_CANCEL -> calls.cancel(envelope.getCallId());
        default -> {}
      }
    } catch (InvalidProtocolBufferException error) {
      // bytes that are no envelope disturb nobody
    }
  }

  // --- signs of life -------------------------------------------------------------------------------------------------

  /** Asks for a sign of life, and the broker's clock; without an answer in time it ends the Link. */
  private void ping() {
    pingAt = System.nanoTime();
    pongDue = responder.timer.schedule(this::silent, PONG_WITHIN_MS, TimeUnit.MILLISECONDS);
    send(ClientItem.newBuilder().setPing(Ping.newBuilder().setRef(PINGING)));
  }

  private void ponged(Pong pong) {
    pongDue.cancel(false);
    clock.learn(pong.getTime(), pingAt, System.nanoTime());
    pongDue = responder.timer.schedule(this::ping, PING_EVERY_MS, TimeUnit.MILLISECONDS);
  }

  private void silent() {
    end(Status.UNAVAILABLE.withDescription("no sign of life for " + PONG_WITHIN_MS + " ms"));
  }

  // --- what we say ---------------------------------------------------------------------------------------------------

  /** Takes no more requests, finishes those under way and ends the stream. */
  void leave() throws InterruptedException {
    send(ClientItem.newBuilder().setDrain(Drain.newBuilder().setRef(LEAVING)));
    CompletableFuture.anyOf(left, ended).join();
    calls.settle(DRAIN_MS);
    synchronized (this) {
      if (!closed) {
        closed = true;
        up.onCompleted();
      }
    }
    ended.join();
  }

  private void answer(Envelope request, Envelope reply) {
    SendAnswer.Builder answer = SendAnswer.newBuilder().setTo(request.getReplyTo()).setEnvelope(reply.toByteString());
    send(ClientItem.newBuilder().setAnswer(answer));
  }

  /** Writes one item; a stream takes one writer at a time. Where it is broken, onError says why. */
  private synchronized void send(ClientItem.Builder item) {
    if (!closed) {
      up.onNext(LinkRequest.newBuilder().addItems(item).build());
    }
  }

  private synchronized void end(Status why) {
    ended.complete(why); // the first reason counts
    if (!closed) {
      closed = true;
      up.cancel(why.getDescription(), null);
    }
  }
}
