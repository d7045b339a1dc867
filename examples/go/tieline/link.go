package tieline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tieline.example/go/wire"
)

const (
	pingEvery    = 2 * time.Second
	pongWithin   = 3 * time.Second
	drainSeconds = 10 * time.Second

	registering uint64 = 1 // the refs of our questions
	leaving     uint64 = 2
	firstPing   uint64 = 3
)

// errRefused is a Register that the gateway will never accept.
var errRefused = errors.New("the gateway refused to register")

// link is one stream to the gateway, and so one instance: from Hello to its end.
//
//	Hello → Welcome → Register → Done → any number of Delivery and SendAnswer → Drain → Done → end
type link struct {
	stream   grpc.BidiStreamingClient[wire.LinkRequest, wire.LinkResponse]
	calls    *calls
	clock    clock
	topics   []string
	ready    func(instance string)
	instance string
	asked    time.Time // when Hello was sent
	pongs    chan *wire.Pong
	drained  chan struct{}
	sending  sync.Mutex // a stream takes one writer at a time
}

// serve answers requests until the stream ends; the error says why it did. When `stop` is done, it leaves in good
// order, and there is no error.
func serve(stop context.Context, gateway wire.EventGatewayClient, r *Responder) error {
	life, end := context.WithCancelCause(context.WithoutCancel(stop))
	defer end(nil)
	stream, err := gateway.Link(life)
	if err != nil {
		return err
	}
	l := &link{stream: stream, ready: r.Ready, pongs: make(chan *wire.Pong, 1), drained: make(chan struct{})}
	l.calls = &calls{handlers: r.Handlers, clock: &l.clock, send: l.send, running: map[string]call{}}
	for topic := range r.Handlers {
		l.topics = append(l.topics, topic)
	}
	l.asked = time.Now()
	l.send(&wire.ClientItem{Item: &wire.ClientItem_Hello{
		Hello: &wire.Hello{Service: r.Service, Client: "go-example/1"},
	}})
	go l.ping(life, end)
	defer context.AfterFunc(stop, func() { l.leave(life) })()
	err = l.read(life)
	if cause := context.Cause(life); cause != nil {
		return cause
	}
	return err
}

// read does what the gateway says, item by item, until the stream ends.
func (l *link) read(life context.Context) error {
	for {
		frame, err := l.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for _, item := range frame.Items {
			if err := l.hear(life, item); err != nil {
				return err
			}
		}
	}
}

// hear knows the items a responder needs. Others are not an error: a newer gateway may say more.
func (l *link) hear(life context.Context, item *wire.GatewayItem) error {
	switch item := item.Item.(type) {
	case *wire.GatewayItem_Welcome:
		l.instance = item.Welcome.Instance
		l.clock.learn(item.Welcome.Time, l.asked, time.Now())
		l.register()
	case *wire.GatewayItem_Done:
		return l.answered(item.Done)
	case *wire.GatewayItem_Delivery:
		l.deliver(life, item.Delivery)
	case *wire.GatewayItem_Pong:
		l.pongs <- item.Pong // there is room: one Ping at a time
	}
	return nil
}

func (l *link) register() {
	question := &wire.Register{Ref: registering}
	for _, topic := range l.topics {
		interest := &wire.Interest{Route: wire.Route_ROUTE_REQUEST, Pattern: topic}
		question.Interests = append(question.Interests, interest)
	}
	l.send(&wire.ClientItem{Item: &wire.ClientItem_Register{Register: question}})
}

func (l *link) answered(done *wire.Done) error {
	switch {
	case done.Ref == registering && done.Error != nil && done.Error.Code == wire.Code_CODE_UNAVAILABLE:
		return errors.New(done.Error.Message)
	case done.Ref == registering && done.Error != nil:
		return fmt.Errorf("%w: %s", errRefused, done.Error.Message)
	case done.Ref == registering && l.ready != nil:
		l.ready(l.instance)
	case done.Ref == leaving:
		close(l.drained)
	}
	return nil
}

func (l *link) deliver(life context.Context, delivery *wire.Delivery) {
	envelope := &wire.Envelope{}
	if err := proto.Unmarshal(delivery.Envelope, envelope); err != nil {
		return // bytes that are no envelope disturb nobody
	}
	switch envelope.Kind {
	case wire.Kind_KIND_REQUEST:
		l.calls.take(life, envelope)
	case wire.Kind_KIND_CANCEL:
		l.calls.cancel(envelope.CallId)
	}
}

// ping asks for a sign of life, and the broker's clock; without an answer in time it ends the Link.
func (l *link) ping(life context.Context, end context.CancelCauseFunc) {
	for ref := firstPing; ; ref++ {
		asked := time.Now()
		l.send(&wire.ClientItem{Item: &wire.ClientItem_Ping{Ping: &wire.Ping{Ref: ref}}})
		select {
		case pong := <-l.pongs:
			l.clock.learn(pong.Time, asked, time.Now())
		case <-time.After(pongWithin):
			end(status.Errorf(codes.Unavailable, "no sign of life for %s", pongWithin))
			return
		case <-life.Done():
			return
		}
		select {
		case <-time.After(pingEvery):
		case <-life.Done():
			return
		}
	}
}

// leave takes no more requests, finishes those under way and ends the stream.
func (l *link) leave(life context.Context) {
	l.send(&wire.ClientItem{Item: &wire.ClientItem_Drain{Drain: &wire.Drain{Ref: leaving}}})
	select {
	case <-l.drained:
	case <-life.Done():
		return
	}
	l.calls.settle(drainSeconds)
	l.sending.Lock()
	defer l.sending.Unlock()
	_ = l.stream.CloseSend()
}

// send writes one item. Where the stream is broken, read learns why.
func (l *link) send(item *wire.ClientItem) {
	l.sending.Lock()
	defer l.sending.Unlock()
	_ = l.stream.Send(&wire.LinkRequest{Items: []*wire.ClientItem{item}})
}
