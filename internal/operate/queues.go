package operate

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// QueueGauge is what is said of a queue of a cluster, in Prometheus' form but for the name of
// the program before it.
type QueueGauge string

// The gauges of queues.
const (
	TransferLagRecords QueueGauge = "transfer_lag_records"
	TransferLag        QueueGauge = "transfer_lag_seconds"
	TransferUnread     QueueGauge = "transfer_unread_seconds"
	TransferParked     QueueGauge = "transfer_parked_records"
	HistoryLagRecords  QueueGauge = "history_lag_records"
	HistoryLag         QueueGauge = "history_lag_seconds"
	Unwritable         QueueGauge = "logic_unwritable_seconds"
)

var helpOfQueues = map[QueueGauge]string{
	TransferLagRecords: "Records of the queue that are not pushed.",
	TransferLag:        "Age of the oldest record that is not pushed, 0 where all are.",
	TransferUnread:     "For how long this node has been to read the queue and could not, 0 while it does.",
	TransferParked:     "Records of the queue that could not be handled and are parked now.",
	HistoryLagRecords:  "Records of the queue that ClickHouse does not have.",
	HistoryLag:         "Age of the oldest record that ClickHouse does not have, 0 where it has all.",
	Unwritable:         "For how long this node has been to write the queue and could not, 0 while it can.",
}

// OfQueue is the value of a gauge for one queue.
type OfQueue struct {
	Gauge QueueGauge `json:"gauge"`
	Class string     `json:"class"`
	Queue int        `json:"queue"`
	Value float64    `json:"value"`
}

// Seconds is a time as gauges have it. What was made by the clock of another machine may be
// younger than nothing, which is nothing.
func Seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

const (
	// queuesTime bounds how long gauges of queues are waited for: those of a broker that does
	// not answer are left out.
	queuesTime = 2 * time.Second

	// queuesFresh is for how long they are not asked for again: whoever asks for metrics
	// without a pause costs the broker nothing.
	queuesFresh = time.Second
)

// queues asks for the gauges of queues, for one at a time.
type queues struct {
	from func(ctx context.Context) []OfQueue // nil: there are none

	mu   sync.Mutex
	at   time.Duration // Elapsed after which they were asked for
	last []OfQueue
}

func (q *queues) all() []OfQueue {
	if q.from == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := Elapsed(); q.last == nil || now-q.at >= queuesFresh {
		ctx, cancel := context.WithTimeout(context.Background(), queuesTime)
		defer cancel()
		q.last = q.from(ctx)
		q.at = Elapsed()
	}
	return q.last
}

// Describe tells nothing ahead, as that of metrics.
func (q *queues) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (q *queues) Collect(out chan<- prometheus.Metric) {
	for _, g := range q.all() {
		d := prometheus.NewDesc("gannet_"+string(g.Gauge), helpOfQueues[g.Gauge], []string{"class", "queue"}, nil)
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, g.Value, g.Class, strconv.Itoa(g.Queue))
	}
}
