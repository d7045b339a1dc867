package tieline.responder;

import java.io.IOException;
import tieline.v1.EnvelopeOuterClass.Envelope;

/**
 * Answers one request, in a thread of its own. That thread is interrupted when the caller gives up, when the request
 * expires and when the Link breaks. Calls that it makes with gRPC stubs end then, too: gRPC hands on its Context.
 */
@FunctionalInterface
public interface Handler {
  Object answer(Envelope request) throws Exception;

  /** A function on plain values. */
  @FunctionalInterface
  interface Answer<T> {
    Object to(T input) throws Exception;
  }

  /** Makes a handler of a function on plain values: the type of its input validates the payload. */
  static <T> Handler of(Class<T> type, Answer<T> answer) {
    return request -> answer.to(input(type, request));
  }

  private static <T> T input(Class<T> type, Envelope request) throws Unfit {
    T input;
    try {
      input = new Payload(request.getData(), request.getContentType()).as(type);
    } catch (IOException error) {
      throw new Unfit(error.getMessage());
    }
    if (input == null && type != Object.class) {
      throw new Unfit("nil is no " + type.getSimpleName());
    }
    return input;
  }

  /** The payload does not fit the handler: the caller's fault, and the handler did not run. */
  final class Unfit extends Exception {
    Unfit(String why) {
      super("the payload does not fit: " + why);
    }
  }
}
