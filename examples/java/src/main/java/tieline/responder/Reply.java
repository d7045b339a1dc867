package tieline.responder;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.util.Map;
import tieline.v1.EnvelopeOuterClass.Code;
import tieline.v1.EnvelopeOuterClass.Envelope;
import tieline.v1.EnvelopeOuterClass.Error;
import tieline.v1.EnvelopeOuterClass.Kind;
import tieline.v1.EnvelopeOuterClass.Outcome;

/** What is sent back for a request: a value or an error. */
final class Reply {
  private Reply() {}

  /** Runs the handler and says what became of it. */
  static Envelope of(Handler handler, Envelope request) {
    Object value;
    try {
      value = handler.answer(request);
    } catch (Handler.Unfit error) {
      return refusal(request, refused(Code.CODE_INVALID_PAYLOAD, error.getMessage()));
    } catch (Throwable error) { // also what would otherwise end the thread: one handler fails alone
      return refusal(request, failed(error));
    }
    try {
      Payload payload = Payload.replyTo(request.getContentType(), value);
      return to(request).setData(payload.data()).setContentType(payload.contentType()).build();
    } catch (IOException error) {
      String message = "the handler's return value cannot be sent: " + error.getMessage();
      return refusal(request, failed(error).toBuilder().setMessage(message).setType("InvalidPayloadError").build());
    }
  }

  static Envelope refusal(Envelope request, Error error) {
    return to(request).setError(error).build();
  }

  /** An error for a request that was not handed to a handler. */
  static Error refused(Code code, String message) {
    return Error.newBuilder()
        .setCode(code)
        .setMessage(message)
        .setOutcome(Outcome.OUTCOME_NOT_DELIVERED)
        .build();
  }

  /** What the caller is told of what a handler threw. */
  private static Error failed(Throwable error) {
    return Error.newBuilder()
        .setCode(Code.CODE_HANDLER_ERROR)
        .setMessage(error.getMessage() == null ? error.toString() : error.getMessage())
        .setOutcome(Outcome.OUTCOME_RAN)
        .setType(error.getClass().getSimpleName())
        .setDetails(detailsOf(error))
        .build();
  }

  private static ByteString detailsOf(Throwable error) {
    try {
      if (error instanceof Detailed detailed) {
        return Payload.of(detailed.details(), Payload.MESSAGE_PACK).data();
      } else if (error instanceof CallFailed failed) { // a call that the handler made
        return Payload.of(Map.of("code", failed.code), Payload.MESSAGE_PACK).data();
      }
    } catch (IOException unsendable) {
      // the error travels without its details
    }
    return ByteString.EMPTY;
  }

  private static Envelope.Builder to(Envelope request) {
    return Envelope.newBuilder().setKind(Kind.KIND_REPLY).setCallId(request.getCallId());
  }
}
