package tieline

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"tieline.example/go/wire"
)

const (
	mostRunning = 1_000
	forever     = 24 * time.Hour // no TTL is longer
	retryAfter  = 200 * time.Millisecond
)

// calls are the requests one Link was given. Each runs in a goroutine of its own and ends in one reply at most: who
// takes it out of `running` may send it, and what the caller cancelled is taken out without one.
type calls struct {
	handlers map[string]Handler
	clock    *clock
	send     func(*wire.ClientItem)

	mutex   sync.Mutex
	running map[string]call // by call_id
	leaving bool
	done    sync.WaitGroup
}

type call struct {
	request *wire.Envelope
	cancel  context.CancelFunc
}

// take begins a request, or refuses it.
func (c *calls) take(ctx context.Context, request *wire.Envelope) {
	if refusal := c.begin(ctx, request); refusal != nil {
		c.answer(request, &wire.Envelope{Error: refusal})
	}
}

func (c *calls) begin(ctx context.Context, request *wire.Envelope) *wire.Error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	handler, known := c.handlers[request.Topic]
	left := forever
	if request.ExpiresAt > 0 {
		left = c.clock.until(request.ExpiresAt)
	}
	switch {
	case !known || c.leaving:
		return refused(wire.Code_CODE_NO_RESPONDERS, "nobody answers %q here any more", request.Topic)
	case left <= 0:
		return refused(wire.Code_CODE_EXPIRED, "the request on %q had expired on arrival", request.Topic)
	case len(c.running) >= mostRunning:
		refusal := refused(wire.Code_CODE_OVERLOADED, "%d requests are running here", mostRunning)
		refusal.RetryAfterMs = uint32(retryAfter.Milliseconds())
		return refusal
	}
	c.run(ctx, handler, request, left)
	return nil
}

func (c *calls) run(ctx context.Context, handler Handler, request *wire.Envelope, left time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, left)
	c.running[string(request.CallId)] = call{request, cancel}
	c.done.Go(func() {
		defer cancel()
		told := reply(ctx, handler, request)
		if _, mine := c.finish(request.CallId); mine && ctx.Err() == nil {
			c.answer(request, told)
		}
	})
}

// cancel ends a call without a reply: the caller gave up. Unknown and finished calls are ignored.
func (c *calls) cancel(callID []byte) {
	if given, found := c.finish(callID); found {
		given.cancel()
	}
}

func (c *calls) finish(callID []byte) (call, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	given, found := c.running[string(callID)]
	delete(c.running, string(callID))
	return given, found
}

// settle takes no more requests and waits for those it has; what still runs after `patience` is cancelled, and its
// caller told that it may have run.
func (c *calls) settle(patience time.Duration) {
	c.mutex.Lock()
	c.leaving = true
	c.mutex.Unlock()
	finished := make(chan struct{})
	go func() {
		c.done.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(patience):
		c.abandon()
	}
}

func (c *calls) abandon() {
	c.mutex.Lock()
	left := c.running
	c.running = map[string]call{}
	c.mutex.Unlock()
	for _, given := range left {
		lost := refused(wire.Code_CODE_RESPONDER_LOST, "the responder stopped before the handler was done")
		lost.Outcome = wire.Outcome_OUTCOME_MAY_HAVE_RUN
		c.answer(given.request, &wire.Envelope{Error: lost})
		given.cancel()
	}
}

// answer sends a reply to the caller's instance. If the Link is broken there is nobody left to tell.
func (c *calls) answer(request, told *wire.Envelope) {
	told.Kind, told.CallId = wire.Kind_KIND_REPLY, request.CallId
	data, err := proto.Marshal(told)
	if err != nil { // text that is not UTF-8
		told = &wire.Envelope{Kind: told.Kind, CallId: told.CallId, Error: failed(errors.New("the reply cannot be encoded"))}
		data, _ = proto.Marshal(told)
	}
	c.send(&wire.ClientItem{Item: &wire.ClientItem_Answer{
		Answer: &wire.SendAnswer{To: request.ReplyTo, Envelope: data},
	}})
}
