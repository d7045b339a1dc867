package tieline.responder;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.util.Locale;
import org.msgpack.jackson.dataformat.MessagePackFactory;

/**
 * A value as it travels: bytes and their content type. Classes, records, collections and plain values are mapped by
 * Jackson, in JSON and in MessagePack alike.
 */
public record Payload(ByteString data, String contentType) {
  /** For programs that have no MessagePack. */
  public static final String JSON = "application/json";

  /** What Python and Node send; an empty content type means this. */
  public static final String MESSAGE_PACK = "application/msgpack";

  private static final int LARGEST = 1 << 20;
  private static final ByteString NIL = ByteString.copyFrom(new byte[] {(byte) 0xc0});
  private static final ObjectMapper JSON_MAPPER = mapper(new JsonFactory());
  private static final ObjectMapper MESSAGE_PACK_MAPPER = mapper(new MessagePackFactory());

  /** Turns a value into a payload. */
  public static Payload of(Object value, String contentType) throws IOException {
    ByteString data = ByteString.copyFrom(mapperOf(contentType).writeValueAsBytes(value));
    if (data.size() > LARGEST) {
      throw new IOException("it takes " + data.size() + " bytes, at most " + LARGEST + " are allowed");
    }
    return new Payload(data, contentType);
  }

  /** Answers JSON with JSON, and anything else with MessagePack. */
  static Payload replyTo(String asked, Object value) throws IOException {
    return of(value, mediaType(asked).equals(JSON) ? JSON : MESSAGE_PACK);
  }

  /** Reads the value. A missing one is null. */
  public <T> T as(Class<T> type) throws IOException {
    ByteString present = data.isEmpty() && mediaType(contentType).equals(MESSAGE_PACK) ? NIL : data;
    return mapperOf(contentType).readValue(present.toByteArray(), type);
  }

  private static ObjectMapper mapperOf(String contentType) throws IOException {
    return switch (mediaType(contentType)) {
      case JSON -> JSON_MAPPER;
      case MESSAGE_PACK -> MESSAGE_PACK_MAPPER;
      default -> throw new IOException(contentType + " holds no values; use " + JSON + " or " + MESSAGE_PACK);
    };
  }

  private static String mediaType(String contentType) {
    String name = contentType.split(";", 2)[0].strip().toLowerCase(Locale.ROOT);
    return name.isEmpty() ? MESSAGE_PACK : name;
  }

  /** A text is no number, and 1.5 no integer. */
  private static ObjectMapper mapper(JsonFactory format) {
    return JsonMapper.builder(format)
        .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
        .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
        .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        .build();
  }
}
