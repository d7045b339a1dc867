package tieline.responder;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import tieline.v1.EventGatewayGrpc;

/**
 * Answers requests through the gateway's Link, as proto/SPEC.md, section 8, has it. Run as many as you like: they share
 * the requests.
 */
public final class Responder implements AutoCloseable {
  private static final int MOST_RUNNING = 200; // threads
  private static final int LARGEST_MESSAGE = 8 << 20;
  private static final long SHORTEST_PAUSE_MS = 50;
  private static final long LONGEST_PAUSE_MS = 1_000;

  final String service;
  final Map<String, Handler> handlers;
  final Consumer<String> ready;
  final ExecutorService threads =
      new ThreadPoolExecutor(0, MOST_RUNNING, 30, TimeUnit.SECONDS, new SynchronousQueue<>(), Responder::daemon);
  final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(Responder::daemon);

  private final String address;
  private final CountDownLatch stopping = new CountDownLatch(1);
  private volatile Link link;

  /**
   * Makes a responder; {@link #serve} runs it.
   *
   * @param address of the gateway, host:port
   * @param service its name, the first half of {@code source}
   * @param handlers by topic
   * @param ready told the name of the instance whenever requests can come
   */
  public Responder(String address, String service, Map<String, Handler> handlers, Consumer<String> ready) {
    this.address = address;
    this.service = service;
    this.handlers = Map.copyOf(handlers);
    this.ready = ready;
  }

  /**
   * Answers until {@link #close}. When the Link ends it links anew, as a new instance. It gives up only where trying
   * again cannot help: a wrong name or topic, or no gateway.
   *
   * @throws io.grpc.StatusRuntimeException why it gave up
   */
  public void serve() throws InterruptedException {
    ManagedChannel channel = connect(address);
    try {
      long pause = SHORTEST_PAUSE_MS;
      while (stopping.getCount() > 0) {
        long begun = System.nanoTime();
        serveOneLink(channel);
        boolean lasted = System.nanoTime() - begun > TimeUnit.MILLISECONDS.toNanos(LONGEST_PAUSE_MS);
        pause = lasted ? SHORTEST_PAUSE_MS : Math.min(2 * pause, LONGEST_PAUSE_MS);
        stopping.await(ThreadLocalRandom.current().nextLong(pause), TimeUnit.MILLISECONDS);
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private void serveOneLink(ManagedChannel channel) {
    channel.resetConnectBackoff(); // the pauses are ours
    Link next = new Link(this, EventGatewayGrpc.newStub(channel));
    next.start();
    link = next;
    if (stopping.getCount() == 0) {
      return; // `close` may have looked too early to see it
    }
    Status why = next.serve();
    switch (why.getCode()) {
      case INVALID_ARGUMENT, UNIMPLEMENTED, UNAUTHENTICATED -> throw why.asRuntimeException();
      default -> {
        if (stopping.getCount() > 0) {
          System.err.println("the Link to " + address + " ended, linking anew: " + why);
        }
      }
    }
  }

  /** Takes no more requests, finishes those it was given, and lets {@link #serve} return. */
  @Override
  public void close() throws InterruptedException {
    stopping.countDown();
    Link last = link;
    if (last != null) {
      last.leave();
    }
  }

  /** Opens a connection to a gateway; it comes back by itself when it breaks. */
  public static ManagedChannel connect(String address) {
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
        .maxInboundMessageSize(LARGEST_MESSAGE)
        .build();
  }

  private static Thread daemon(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    return thread;
  }
}
