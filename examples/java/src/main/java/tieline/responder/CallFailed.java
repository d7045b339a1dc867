package tieline.responder;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Map;

/**
 * Why a call failed. The code is one of the closed list in SPEC.md, section 9; the outcome tells whether it ran:
 * NOT_DELIVERED, MAY_HAVE_RUN or RAN. The type is that of the exception a handler threw, the details are JSON.
 */
public final class CallFailed extends Exception {
  public final String code;
  public final String outcome;
  public final boolean retryable;
  public final String type;
  public final String details;

  private CallFailed(String code, String message, Map<String, String> about, Throwable cause) {
    super(message, cause);
    this.code = code;
    this.outcome = about.getOrDefault("outcome", "");
    this.retryable = about.getOrDefault("retryable", "").equals("true");
    this.type = about.getOrDefault("type", "");
    this.details = about.getOrDefault("details", "");
  }

  /**
   * Finds what the gateway said of a failed call, in its google.rpc.ErrorInfo. Where the gateway said nothing, because
   * it could not be reached or the caller's own clock was first, the error stays as it is.
   */
  public static Exception explain(StatusRuntimeException error) {
    Status told = StatusProto.fromThrowable(error);
    try {
      for (Any detail : told.getDetailsList()) {
        if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals("tieline")) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          return new CallFailed(info.getReason(), told.getMessage(), info.getMetadataMap(), error);
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      error.addSuppressed(unreadable);
    }
    return error;
  }
}
