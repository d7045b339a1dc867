package tieline.responder;

import java.util.Map;

/** An exception that tells the caller more than a message. */
public interface Detailed {
  Map<String, Object> details();
}
