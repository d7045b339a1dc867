package tieline.example;

import tieline.responder.Responder;

/**
 * Java at a Tieline gateway, with nothing but stubs generated from proto/tieline/v1.
 *
 * <pre>
 * serve ADDRESS   answers java.sum, java.slow and java.fail until it is told to stop
 * demo ADDRESS    publishes, calls and subscribes, and prints what happens
 * </pre>
 */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    String command = arguments.length == 2 ? arguments[0] : "";
    switch (command) {
      case "serve" -> serve(arguments[1]);
      case "demo" -> Demo.run(arguments[1]);
      default -> {
        System.err.println("usage: java -jar target/example.jar serve|demo ADDRESS");
        System.exit(1);
      }
    }
  }

  private static void serve(String address) throws InterruptedException {
    Responder responder = Service.at(address, instance -> System.out.println("READY " + instance));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> close(responder)));
    responder.serve();
  }

  private static void close(Responder responder) {
    try {
      responder.close();
    } catch (InterruptedException hurry) {
      Thread.currentThread().interrupt();
    }
  }
}
