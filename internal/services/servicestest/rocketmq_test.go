//go:build cluster

package servicestest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// silent keeps the client's log out of the tests' output.
type silent struct{}

func (silent) Debug(string, map[string]any)   {}
func (silent) Info(string, map[string]any)    {}
func (silent) Warning(string, map[string]any) {}
func (silent) Error(string, map[string]any)   {}
func (silent) Fatal(string, map[string]any)   {}
func (silent) Level(string)                   {}
func (silent) OutputPath(string) error        { return nil }

func init() { rlog.SetLogger(silent{}) }

// What is sent to a queue is pulled from that queue, and the topic has no queue more.
func TestRocketMQAnswers(t *testing.T) {
	nameServer := RocketMQ(t)
	const queues = 3
	topic := Topic(t, nameServer, queues)
	broker, _ := Broker(t, nameServer)
	instance := unique()
	sender, err := rocketmq.NewProducer(producer.WithNameServer([]string{nameServer}), producer.WithGroupName(instance),
		producer.WithInstanceName(instance), producer.WithRetry(0), producer.WithQueueSelector(producer.NewManualQueueSelector()))
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	defer sender.Shutdown()
	send := func(queue int, body string) (*primitive.SendResult, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m := primitive.NewMessage(topic, []byte(body))
		m.Queue = &primitive.MessageQueue{Topic: topic, BrokerName: broker, QueueId: queue}
		return sender.SendSync(ctx, m)
	}
	for q := range queues {
		res, err := send(q, fmt.Sprint("to ", q))
		if err != nil || res.Status != primitive.SendOK || res.MessageQueue.QueueId != q || res.QueueOffset != 0 {
			t.Fatalf("send to queue %d: %v, %v", q, res, err)
		}
	}
	if res, err := send(queues, "to none"); err == nil && res.Status == primitive.SendOK {
		t.Errorf("there is a queue %d: %v", queues, res)
	}

	reader, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{nameServer}), consumer.WithGroupName(instance),
		consumer.WithInstance(instance+"-reader"))
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Subscribe(topic, consumer.MessageSelector{}); err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	defer reader.Shutdown()
	for q := range queues {
		queue := &primitive.MessageQueue{Topic: topic, BrokerName: broker, QueueId: q}
		res, err := reader.PullFrom(t.Context(), queue, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.GetMessageExts(); len(got) != 1 || string(got[0].Body) != fmt.Sprint("to ", q) {
			t.Errorf("pulled from queue %d: %v", q, got)
		}
	}
}

// A topic of a test is gone when the test has ended.
func TestTopicIsDeleted(t *testing.T) {
	nameServer := RocketMQ(t)
	var topic string
	if !t.Run("makes a topic", func(t *testing.T) { topic = Topic(t, nameServer, 1) }) {
		return
	}
	if h, body := request(t, nameServer, routeOfTopic, map[string]string{"topic": topic}); h.Code == 0 {
		t.Errorf("the topic has a route: %s", body)
	}
	_, broker := Broker(t, nameServer)
	const configurationOfTopic = 351
	h, body := request(t, broker, configurationOfTopic, map[string]string{"topic": topic})
	if h.Code == 0 || !strings.Contains(h.Remark, topic) {
		t.Errorf("the broker has the topic: %d %s %s", h.Code, h.Remark, body)
	}
}
