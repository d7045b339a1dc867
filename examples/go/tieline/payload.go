package tieline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// JSON and MessagePack are the content types of payloads that hold values; an empty one means MessagePack.
const (
	JSON        = "application/json"
	MessagePack = "application/msgpack"
)

const largestPayload = 1 << 20

// Encode turns a value into a payload. Fields of structs are named by their `json` tags, also in MessagePack.
func Encode(value any, contentType string) ([]byte, error) {
	var data []byte
	var err error
	switch mediaType(contentType) {
	case JSON:
		data, err = json.Marshal(value)
	case MessagePack:
		data, err = encodeMessagePack(value)
	default:
		err = fmt.Errorf("%s holds no values; use %s or %s", contentType, JSON, MessagePack)
	}
	if err == nil && len(data) > largestPayload {
		err = fmt.Errorf("it takes %d bytes, at most %d are allowed", len(data), largestPayload)
	}
	return data, err
}

// Decode reads a payload into what `into` points to. A missing payload is nil.
func Decode(data []byte, contentType string, into any) error {
	switch mediaType(contentType) {
	case JSON:
		return json.Unmarshal(data, into)
	case MessagePack:
		return decodeMessagePack(data, into)
	default:
		return fmt.Errorf("%s holds no values; send %s or %s", contentType, JSON, MessagePack)
	}
}

// encodeReply answers JSON with JSON where the value can be said in it, and anything else with MessagePack.
func encodeReply(value any, asked string) ([]byte, string, error) {
	if mediaType(asked) == JSON {
		if data, err := Encode(value, JSON); err == nil {
			return data, JSON, nil
		}
	}
	data, err := Encode(value, MessagePack)
	return data, MessagePack, err
}

func encodeMessagePack(value any) ([]byte, error) {
	var data bytes.Buffer
	encoder := msgpack.NewEncoder(&data)
	encoder.SetCustomStructTag("json")
	encoder.UseCompactInts(true)
	err := encoder.Encode(value)
	return data.Bytes(), err
}

func decodeMessagePack(data []byte, into any) error {
	if len(data) == 0 {
		data = []byte{0xc0} // nil
	}
	decoder := msgpack.NewDecoder(bytes.NewReader(data))
	decoder.SetCustomStructTag("json")
	return decoder.Decode(into)
}

func mediaType(contentType string) string {
	name, _, _ := strings.Cut(contentType, ";")
	if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
		return MessagePack
	}
	return name
}
