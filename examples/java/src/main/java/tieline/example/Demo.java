package tieline.example;

import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import tieline.responder.CallFailed;
import tieline.responder.Payload;
import tieline.responder.Responder;
import tieline.v1.EnvelopeOuterClass.Envelope;
import tieline.v1.EventGatewayGrpc;
import tieline.v1.EventGatewayGrpc.EventGatewayBlockingStub;
import tieline.v1.Gateway.PublishAndWaitRequest;
import tieline.v1.Gateway.PublishAndWaitResponse;
import tieline.v1.Gateway.PublishRequest;
import tieline.v1.Gateway.SubscribeRequest;
import tieline.v1.Gateway.SubscribeResponse;

/** A program with plain stubs, beside a responder of its own and the Python and Node services of examples/. */
final class Demo {
  private static final long MS = 1;
  private static final long SECONDS = 1_000;

  private final EventGatewayBlockingStub gateway;

  private Demo(EventGatewayBlockingStub gateway) {
    this.gateway = gateway;
  }

  static void run(String address) throws Exception {
    ManagedChannel channel = Responder.connect(address);
    try {
      Demo demo = new Demo(EventGatewayGrpc.newBlockingStub(channel));
      demo.hearOneself();
      try (Responder own = answerOneself(address)) {
        demo.play();
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private void play() throws Exception {
    call("calculate.sum", List.of(1, 2, 3, 4, 5), 5 * SECONDS);
    call("ai.request", Map.of("query", "tie line"), 5 * SECONDS);
    call("calculate.sum", List.of("one", "two"), 5 * SECONDS);
    call("nobody.home", null, 5 * SECONDS);
    call("java.sum", List.of(1, 2, 3), 5 * SECONDS);
    call("java.fail", Map.of("item", "lamp"), 5 * SECONDS);
    call("java.slow", 30, 300 * MS);
  }

  /** Subscribes to a pattern and publishes an event that matches. Everybody else who subscribed hears it too. */
  private void hearOneself() throws Exception {
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      Envelope event = context.call(this::subscribeAndPublish);
      Object data = new Payload(event.getData(), event.getContentType()).as(Object.class);
      System.out.println("heard " + event.getTopic() + " " + show(data));
    }
  }

  private Envelope subscribeAndPublish() throws Exception {
    Iterator<SubscribeResponse> stream = gateway.subscribe(SubscribeRequest.newBuilder().setTopic("user.*").build());
    stream.next(); // Subscribed: from now on no event is missed
    publish("user.created", Map.of("id", 456));
    while (true) {
      SubscribeResponse response = stream.next();
      if (response.hasEvent()) { // else a gap: events may have been lost, because the gateway lost its broker, say
        return response.getEvent();
      }
    }
  }

  private void publish(String topic, Object value) throws Exception {
    Payload payload = Payload.of(value, Payload.JSON);
    gateway.publish(
        PublishRequest.newBuilder()
            .setTopic(topic)
            .setData(payload.data())
            .setContentType(payload.contentType())
            .build());
  }

  /** Runs the service in this process, until it is closed. */
  private static Responder answerOneself(String address) {
    CompletableFuture<String> ready = new CompletableFuture<>();
    Responder responder = Service.at(address, ready::complete);
    Thread serving = new Thread(() -> serve(responder, ready));
    serving.setDaemon(true);
    serving.start();
    ready.join();
    return responder;
  }

  private static void serve(Responder responder, CompletableFuture<String> ready) {
    try {
      responder.serve();
    } catch (InterruptedException | StatusRuntimeException error) {
      ready.completeExceptionally(error);
    }
  }

  /** Prints the reply, or what is known of the failure. The deadline of the gRPC call is the timeout. */
  private void call(String topic, Object value, long milliseconds) throws Exception {
    try {
      System.out.println(topic + ": " + show(publishAndWait(topic, value, milliseconds)));
    } catch (CallFailed error) {
      System.out.printf(
          "%s: %s, %s, retryable %b: %s%n", topic, error.code, error.outcome, error.retryable, error.getMessage());
      if (!error.type.isEmpty()) {
        System.out.println("  it was " + error.type + " " + error.details);
      }
    }
  }

  private Object publishAndWait(String topic, Object value, long milliseconds) throws Exception {
    Payload payload = Payload.of(value, Payload.JSON);
    PublishAndWaitRequest request =
        PublishAndWaitRequest.newBuilder()
            .setTopic(topic)
            .setData(payload.data())
            .setContentType(payload.contentType())
            .build();
    try {
      PublishAndWaitResponse reply =
          gateway.withDeadlineAfter(milliseconds, TimeUnit.MILLISECONDS).publishAndWait(request);
      return new Payload(reply.getData(), reply.getContentType()).as(Object.class);
    } catch (StatusRuntimeException error) {
      throw CallFailed.explain(error);
    }
  }

  private static String show(Object value) throws Exception {
    return Payload.of(value, Payload.JSON).data().toStringUtf8();
  }
}
