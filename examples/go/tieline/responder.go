// Package tieline answers requests in Go: a responder on the gateway's Link, as proto/SPEC.md, section 8, has it.
package tieline

import (
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"tieline.example/go/wire"
)

const (
	shortestPause  = 50 * time.Millisecond
	longestPause   = time.Second
	connectWithin  = 4 * time.Second
	largestMessage = 8 << 20
)

// Responder answers requests. Run as many as you like: they share them.
type Responder struct {
	Address  string // of the gateway, host:port
	Service  string // its name, the first half of `source`
	Handlers map[string]Handler
	Ready    func(instance string) // called whenever requests can come; may be nil
}

// Serve answers until ctx is done; then it finishes what it was given and returns nil. When the Link ends it links
// anew, as a new instance. It gives up only where trying again cannot help: a wrong name or topic, or no gateway.
func (r *Responder) Serve(ctx context.Context) error {
	connection, err := Connect(r.Address)
	if err != nil {
		return err
	}
	defer connection.Close()
	gateway := wire.NewEventGatewayClient(connection)
	pause := shortestPause
	for ctx.Err() == nil {
		begun := time.Now()
		err := serve(ctx, gateway, r)
		if hopeless(err) {
			return err
		}
		if time.Since(begun) > longestPause {
			pause = shortestPause
		}
		if ctx.Err() == nil {
			log.Printf("the Link to %s ended, linking anew: %v", r.Address, err)
			wait(ctx, rand.N(pause))
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// Connect opens a connection to a gateway; it comes back by itself when it breaks.
func Connect(address string) (*grpc.ClientConn, error) {
	again := backoff.Config{BaseDelay: shortestPause, Multiplier: 2, Jitter: 0.5, MaxDelay: longestPause}
	return grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: connectWithin}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
	)
}

func hopeless(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unimplemented, codes.Unauthenticated:
		return true
	default:
		return errors.Is(err, errRefused)
	}
}

func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}
