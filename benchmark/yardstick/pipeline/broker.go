package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// silence drops what the library logs.
type silence struct{}

func (silence) Debug(string, map[string]any)   {}
func (silence) Info(string, map[string]any)    {}
func (silence) Warning(string, map[string]any) {}
func (silence) Error(string, map[string]any)   {}
func (silence) Fatal(string, map[string]any)   {}
func (silence) Level(string)                   {}
func (silence) OutputPath(string) error        { return nil }

// records is the topic of the pipeline.
type records struct {
	topic, broker string
	producer      rocketmq.Producer
	consumer      rocketmq.PullConsumer
}

// topicPatience is how long a topic may take to be known.
const topicPatience = 10 * time.Second

// makeTopic makes the topic.
func (p *Process) makeTopic(ctx context.Context) error {
	a, err := p.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	err = a.CreateTopic(ctx, admin.WithTopicCreate(p.Topic), admin.WithBrokerAddrCreate(p.Broker),
		admin.WithReadQueueNums(p.Queues), admin.WithWriteQueueNums(p.Queues))
	if err != nil {
		return fmt.Errorf("benchmark: topic: %w", err)
	}
	return nil
}

func (p *Process) admin() (admin.Admin, error) {
	rlog.SetLogger(silence{})
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{p.Rocketmq})))
	if err != nil {
		return nil, fmt.Errorf("benchmark: RocketMQ: %w", err)
	}
	return a, nil
}

// open connects to the topic, once it is there.
func (p *Process) open(ctx context.Context, reads bool) (*records, error) {
	a, err := p.admin()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &records{topic: p.Topic}
	for end := time.Now().Add(topicPatience); r.broker == ""; {
		// The answer to CreateTopic says nothing.
		if queues, err := a.FetchPublishMessageQueues(ctx, p.Topic); err == nil && len(queues) == p.Queues {
			r.broker = queues[0].BrokerName
		} else if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("benchmark: topic %s does not come", p.Topic), err)
		} else {
			time.Sleep(50 * time.Millisecond)
		}
	}
	name := "pipeline-" + p.Role + strconv.Itoa(os.Getpid())
	servers := primitive.NamesrvAddr{p.Rocketmq}
	if reads {
		r.consumer, err = rocketmq.NewPullConsumer(consumer.WithNameServer(servers), consumer.WithGroupName(name), consumer.WithInstance(name))
		if err == nil {
			err = r.consumer.Subscribe(p.Topic, consumer.MessageSelector{})
		}
		if err == nil {
			err = r.consumer.Start()
		}
	} else {
		r.producer, err = rocketmq.NewProducer(producer.WithNameServer(servers), producer.WithGroupName(name), producer.WithInstanceName(name),
			producer.WithRetry(0), producer.WithCompressMsgBodyOverHowmuch(1<<30), producer.WithQueueSelector(producer.NewManualQueueSelector()))
		if err == nil {
			err = r.producer.Start()
		}
	}
	if err == nil && !reads {
		// The library fetches the route of a topic with the first record. When several
		// are the first, some of them fail. This one has nothing but a head.
		_, err = r.send(ctx, 0, make([]byte, recordHead))
	}
	if err != nil {
		return nil, fmt.Errorf("benchmark: RocketMQ: %w", err)
	}
	return r, nil
}

func (r *records) queue(q int) *primitive.MessageQueue {
	return &primitive.MessageQueue{Topic: r.topic, BrokerName: r.broker, QueueId: q}
}

// send appends a record and gives its offset.
func (r *records) send(ctx context.Context, q int, body []byte) (int64, error) {
	m := primitive.NewMessage(r.topic, body)
	m.Queue = r.queue(q)
	result, err := r.producer.SendSync(ctx, m)
	if err != nil {
		return 0, err
	}
	if result.Status != primitive.SendOK {
		return 0, fmt.Errorf("the broker answers with status %d", result.Status)
	}
	return result.QueueOffset, nil
}
