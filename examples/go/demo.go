package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"tieline.example/go/tieline"
	"tieline.example/go/wire"
)

// demo plays a program with plain stubs, beside a responder of its own and the Python and Node services of examples/.
func demo(ctx context.Context, address string) error {
	connection, err := tieline.Connect(address)
	if err != nil {
		return err
	}
	defer connection.Close()
	gateway := wire.NewEventGatewayClient(connection)

	if err := hearOneself(ctx, gateway); err != nil {
		return err
	}
	stop, err := answerOneself(ctx, address)
	if err != nil {
		return err
	}
	call(ctx, gateway, "calculate.sum", []int{1, 2, 3, 4, 5}, 5*time.Second)
	call(ctx, gateway, "ai.request", map[string]string{"query": "tie line"}, 5*time.Second)
	call(ctx, gateway, "calculate.sum", []string{"one", "two"}, 5*time.Second)
	call(ctx, gateway, "nobody.home", nil, 5*time.Second)
	call(ctx, gateway, "go.sum", []int{1, 2, 3}, 5*time.Second)
	call(ctx, gateway, "go.fail", order{Item: "lamp"}, 5*time.Second)
	call(ctx, gateway, "go.slow", 30, 300*time.Millisecond)
	return stop()
}

// hearOneself subscribes to a pattern and publishes an event that matches. Everybody else who subscribed hears it too.
func hearOneself(ctx context.Context, gateway wire.EventGatewayClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := gateway.Subscribe(ctx, &wire.SubscribeRequest{Topic: "user.*"})
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil { // Subscribed: from now on no event is missed
		return tieline.Explain(err)
	}
	if err := publish(ctx, gateway, "user.created", map[string]int{"id": 456}); err != nil {
		return err
	}
	event, err := nextEvent(stream)
	if err != nil {
		return err
	}
	var data any
	if err := tieline.Decode(event.Data, event.ContentType, &data); err != nil {
		return err
	}
	fmt.Println("heard", event.Topic, show(data))
	return nil
}

func publish(ctx context.Context, gateway wire.EventGatewayClient, topic string, value any) error {
	data, err := tieline.Encode(value, tieline.JSON)
	if err != nil {
		return err
	}
	_, err = gateway.Publish(ctx, &wire.PublishRequest{Topic: topic, Data: data, ContentType: tieline.JSON})
	return tieline.Explain(err)
}

// nextEvent passes over gaps: they tell that events may have been lost, because the gateway lost its broker, say.
func nextEvent(stream grpc.ServerStreamingClient[wire.SubscribeResponse]) (*wire.Envelope, error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, tieline.Explain(err)
		}
		if event := response.GetEvent(); event != nil {
			return event, nil
		}
	}
}

// answerOneself runs the service in this process, and returns what ends it.
func answerOneself(ctx context.Context, address string) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	responder, ready, ended := service(address), make(chan struct{}), make(chan error, 1)
	var once sync.Once // it links anew whenever it has to
	responder.Ready = func(string) { once.Do(func() { close(ready) }) }
	go func() { ended <- responder.Serve(ctx) }()
	select {
	case <-ready:
		return func() error { cancel(); return <-ended }, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// call prints the reply, or what is known of the failure. The deadline of the gRPC call is the timeout.
func call(ctx context.Context, gateway wire.EventGatewayClient, topic string, value any, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	reply, err := publishAndWait(ctx, gateway, topic, value)
	var told *tieline.Error
	switch {
	case errors.As(err, &told):
		fmt.Printf("%s: %s, %s, retryable %t: %s\n", topic, told.Code, told.Outcome, told.Retryable, told.Message)
		if told.Type != "" {
			fmt.Println("  it was", told.Type, told.Details)
		}
	case err != nil:
		fmt.Printf("%s: %v\n", topic, err)
	default:
		fmt.Printf("%s: %s\n", topic, show(reply))
	}
}

func publishAndWait(
	ctx context.Context, gateway wire.EventGatewayClient, topic string, value any,
) (reply any, err error) {
	data, err := tieline.Encode(value, tieline.JSON)
	if err != nil {
		return nil, err
	}
	request := &wire.PublishAndWaitRequest{Topic: topic, Data: data, ContentType: tieline.JSON}
	response, err := gateway.PublishAndWait(ctx, request)
	if err != nil {
		return nil, tieline.Explain(err)
	}
	err = tieline.Decode(response.Data, response.ContentType, &reply)
	return reply, err
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
