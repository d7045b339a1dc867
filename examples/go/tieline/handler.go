package tieline

import (
	"context"
	"errors"
	"fmt"

	"tieline.example/go/wire"
)

// Handler answers one request. Its context ends when the caller gives up, when the request expires and when the Link
// breaks; a call made with that context can never outlive the one that caused it.
type Handler func(ctx context.Context, request *wire.Envelope) (any, error)

// errPayload is a payload that does not fit the handler: the caller's fault, and the handler did not run.
var errPayload = errors.New("the payload does not fit")

// Handle makes a Handler of a function on plain values: the type of its input validates the payload.
func Handle[In, Out any](answer func(ctx context.Context, input In) (Out, error)) Handler {
	return func(ctx context.Context, request *wire.Envelope) (any, error) {
		var input In
		if err := Decode(request.Data, request.ContentType, &input); err != nil {
			return nil, fmt.Errorf("%w: %w", errPayload, err)
		}
		return answer(ctx, input)
	}
}

// reply runs the handler and says what became of it.
func reply(ctx context.Context, handler Handler, request *wire.Envelope) *wire.Envelope {
	value, err := guarded(ctx, handler, request)
	switch {
	case errors.Is(err, errPayload):
		return &wire.Envelope{Error: refused(wire.Code_CODE_INVALID_PAYLOAD, "%s", err)}
	case err != nil:
		return &wire.Envelope{Error: failed(err)}
	}
	data, contentType, err := encodeReply(value, request.ContentType)
	if err != nil {
		told := failed(fmt.Errorf("the handler's return value cannot be sent: %w", err))
		told.Type = "InvalidPayloadError"
		return &wire.Envelope{Error: told}
	}
	return &wire.Envelope{Data: data, ContentType: contentType}
}

// guarded lets a handler that panics fail alone.
func guarded(ctx context.Context, handler Handler, request *wire.Envelope) (value any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return handler(ctx, request)
}
