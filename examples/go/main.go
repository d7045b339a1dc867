// Command example is Go at a Tieline gateway, with nothing but stubs generated from proto/tieline/v1.
//
//	example serve ADDRESS   answers go.sum, go.slow and go.fail until it is told to stop
//	example demo ADDRESS    publishes, calls and subscribes, and prints what happens
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

//go:generate buf generate

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: example serve|demo ADDRESS")
	}
	switch command, address := arguments[0], arguments[1]; command {
	case "serve":
		return service(address).Serve(ctx)
	case "demo":
		return demo(ctx, address)
	default:
		return fmt.Errorf("%q is neither serve nor demo", command)
	}
}
