package tieline.example;

import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import tieline.responder.Detailed;
import tieline.responder.Handler;
import tieline.responder.Responder;

/** Answers requests on three topics; a caller in any language gives and gets plain values. */
final class Service {
  private Service() {}

  static Responder at(String address, Consumer<String> ready) {
    Map<String, Handler> handlers =
        Map.of(
            "java.sum", Handler.of(long[].class, Service::sum),
            "java.slow", Handler.of(double.class, Service::slow),
            "java.fail", Handler.of(Order.class, Service::fail));
    return new Responder(address, "java", handlers, ready);
  }

  /** Adds numbers. What is no list of integers is refused before it gets here. */
  private static long sum(long[] numbers) {
    return LongStream.of(numbers).sum();
  }

  /** Takes as many seconds as it is told, unless the caller gives up. */
  private static String slow(double seconds) throws InterruptedException {
    System.out.println("BEGUN " + seconds);
    try {
      Thread.sleep((long) (seconds * 1000));
      return "slept";
    } catch (InterruptedException gaveUp) {
      System.out.println("CANCELLED " + seconds);
      throw gaveUp;
    }
  }

  /** Never succeeds. */
  private static Object fail(Order wanted) throws OutOfStock {
    throw new OutOfStock(wanted.item);
  }

  /** A payload with named fields. */
  record Order(String item) {}

  /** An exception of this service's own: its name and details travel to the caller. */
  static final class OutOfStock extends Exception implements Detailed {
    private final String item;

    OutOfStock(String item) {
      super("no " + item + " left");
      this.item = item;
    }

    @Override
    public Map<String, Object> details() {
      return Map.of("item", item, "left", 0);
    }
  }
}
