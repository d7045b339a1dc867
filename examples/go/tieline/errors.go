package tieline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"tieline.example/go/wire"
)

// Error is why a call failed. Code is one of the closed list in SPEC.md, section 9; Outcome tells whether it ran:
// NOT_DELIVERED, MAY_HAVE_RUN or RAN.
type Error struct {
	Code      string
	Message   string
	Outcome   string
	Retryable bool
	Type      string // of the error a handler returned
	Details   string // as JSON
}

// Error implements the interface of that name.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (%s)", e.Code, e.Message, e.Outcome)
}

// Explain finds what the gateway said of a failed call, in its google.rpc.ErrorInfo. Where the gateway said nothing,
// because it could not be reached or the caller's own clock was first, the error stays as it is.
func Explain(err error) error {
	told, _ := status.FromError(err)
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "tieline" {
			about := info.Metadata
			return &Error{
				Code: info.Reason, Message: told.Message(), Outcome: about["outcome"],
				Retryable: about["retryable"] == "true", Type: about["type"], Details: about["details"],
			}
		}
	}
	return err
}

// Detailed is an error that tells the caller more than a message.
type Detailed interface {
	error
	Details() map[string]any
}

// refused is an error of ours for a request that was not handed to a handler.
func refused(code wire.Code, format string, about ...any) *wire.Error {
	message := strings.ToValidUTF8(fmt.Sprintf(format, about...), "?")
	return &wire.Error{Code: code, Message: message, Outcome: wire.Outcome_OUTCOME_NOT_DELIVERED}
}

// failed is what the caller is told of an error that a handler returned.
func failed(err error) *wire.Error {
	told := refused(wire.Code_CODE_HANDLER_ERROR, "%s", err)
	told.Outcome = wire.Outcome_OUTCOME_RAN
	told.Type = typeName(err)
	told.Details, _ = encodeMessagePack(detailsOf(err)) // details that cannot be encoded are left out
	return told
}

func detailsOf(err error) map[string]any {
	var detailed Detailed
	if errors.As(err, &detailed) {
		return detailed.Details()
	}
	var ours *Error
	if errors.As(err, &ours) { // a call that the handler made failed
		return map[string]any{"code": ours.Code}
	}
	return nil
}

func typeName(err error) string {
	shape := reflect.TypeOf(err)
	if shape.Kind() == reflect.Pointer {
		shape = shape.Elem()
	}
	return shape.Name()
}
