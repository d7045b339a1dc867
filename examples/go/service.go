package main

import (
	"context"
	"fmt"
	"time"

	"tieline.example/go/tieline"
)

// service answers requests on three topics; a caller in any language gives and gets plain values.
func service(address string) *tieline.Responder {
	return &tieline.Responder{
		Address: address,
		Service: "go",
		Handlers: map[string]tieline.Handler{
			"go.sum":  tieline.Handle(sum),
			"go.slow": tieline.Handle(slow),
			"go.fail": tieline.Handle(fail),
		},
		Ready: func(instance string) { fmt.Println("READY", instance) },
	}
}

// sum adds numbers. What is no list of integers is refused before it gets here.
func sum(_ context.Context, numbers []int64) (total int64, err error) {
	for _, number := range numbers {
		total += number
	}
	return total, nil
}

// slow takes as many seconds as it is told, unless the caller gives up.
func slow(ctx context.Context, seconds float64) (string, error) {
	fmt.Println("BEGUN", seconds)
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return "slept", nil
	case <-ctx.Done():
		fmt.Println("CANCELLED", seconds)
		return "", ctx.Err()
	}
}

// OutOfStock is an error of this service's own: its name and details travel to the caller.
type OutOfStock struct {
	Item string
	Left int
}

// Error implements error.
func (e OutOfStock) Error() string { return fmt.Sprintf("no %s left", e.Item) }

// Details implements tieline.Detailed.
func (e OutOfStock) Details() map[string]any { return map[string]any{"item": e.Item, "left": e.Left} }

// order is a payload with named fields.
type order struct {
	Item string `json:"item"`
}

// fail never succeeds.
func fail(_ context.Context, wanted order) (any, error) {
	return nil, OutOfStock{Item: wanted.Item}
}
