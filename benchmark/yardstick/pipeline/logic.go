package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop"
	"gannet/protocol"
)

// recordHead is the room of a head that a record of gannet has.
const recordHead = 64

// script brings the heads of the touched conversations and the mark forward, if the mark
// is the one that the writer believes.
var script = redis.NewScript(`
local mark = redis.call('GET', KEYS[2])
if mark and mark ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('SET', KEYS[2], ARGV[2])
return 1`)

// logic gives messages their seqs and makes them durable.
type logic struct {
	queues []*queue
}

type queue struct {
	number      int
	recordBytes int
	records     *records
	redis       *redis.Client
	keys        []string
	wake        chan struct{}

	mu      sync.Mutex
	waiting []*forward

	// The writer's own.
	seqs map[protocol.Conversation]uint64
	mark int64
}

// forward is a call that waits for its record.
type forward struct {
	batch *hop.Batch
	acks  *hop.Batch
	done  chan struct{}
}

func (p *Process) logic(ctx context.Context) error {
	if err := p.makeTopic(ctx); err != nil {
		return err
	}
	r, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	db := redis.NewClient(&redis.Options{Addr: p.Redis, PoolSize: 32, MaxRetries: -1, DisableIdentity: true})
	if err := script.Load(ctx, db).Err(); err != nil {
		return fmt.Errorf("benchmark: Redis: %w", err)
	}
	l, failed := new(logic), make(chan error, 1+p.Queues)
	for q := range p.Queues {
		key := fmt.Sprintf("%s:{%d}:", p.Topic, q)
		of := &queue{
			number: q, recordBytes: p.RecordKB << 10, records: r, redis: db, keys: []string{key + "heads", key + "mark"},
			wake: make(chan struct{}, 1), seqs: map[protocol.Conversation]uint64{}, mark: -1,
		}
		defer func() { _ = db.Del(context.WithoutCancel(ctx), of.keys...).Err() }() // what is left over is small
		l.queues = append(l.queues, of)
		go func() { failed <- of.run() }()
	}
	address, _, err := calls(l, failed)
	if err != nil {
		return err
	}
	return p.wait(ctx, address, failed)
}

// Pass takes a forward of a gateway.
func (l *logic) Pass(_ context.Context, b *hop.Batch) (*hop.Batch, error) {
	q := l.queues[b.Queue]
	f := &forward{batch: b, acks: hop.NewBatch(), done: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, f)
	q.mu.Unlock()
	signal(q.wake)
	<-f.done
	return f.acks, nil
}

// take gives what goes into the next record.
func (q *queue) take() []*forward {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && (n == 0 || size+len(q.waiting[n].batch.Frames) <= q.recordBytes) {
		size += len(q.waiting[n].batch.Frames)
		n++
	}
	taken := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return taken
}

// run makes record after record, one under way.
func (q *queue) run() error {
	record := make([]byte, recordHead)
	heads := map[protocol.Conversation]uint64{}
	for range q.wake {
		for {
			taken := q.take()
			if len(taken) == 0 {
				break
			}
			clear(heads)
			record = record[:recordHead]
			now := uint64(time.Now().UnixMilli())
			for _, f := range taken {
				var err error
				if record, err = q.place(record, f, now, heads); err != nil {
					return err
				}
			}
			if err := q.commit(record, heads); err != nil {
				return fmt.Errorf("benchmark: queue %d: %w", q.number, err)
			}
			for _, f := range taken {
				close(f.done)
			}
		}
	}
	return nil
}

// place gives each message of a call its seq, and adds it to the record: for whom, how
// long, the frame.
func (q *queue) place(record []byte, f *forward, now uint64, heads map[protocol.Conversation]uint64) ([]byte, error) {
	var ack []byte
	err := each(f.batch, func(from uint64, whole []byte) error {
		frame, _, err := protocol.Split(whole, protocol.MaxFrame)
		if err != nil {
			return err
		}
		var m protocol.Send
		if err := m.Decode(frame.Payload); err != nil {
			return err
		}
		c := m.Target.Conversation(from)
		seq := q.seqs[c] + 1
		q.seqs[c], heads[c] = seq, seq
		record = binary.BigEndian.AppendUint64(record, m.Target.ID)
		start := len(record)
		record = binary.BigEndian.AppendUint32(record, 0)
		record = protocol.Message{
			Target: m.Target, Seq: seq, Time: now, Sender: from, Device: 1,
			ClientID: m.ClientID, Content: m.Content, Body: m.Body,
		}.AppendFrame(record)
		binary.BigEndian.PutUint32(record[start:], uint32(len(record)-start-4))
		ack = protocol.SendAck{ClientID: m.ClientID, Seq: seq, Time: now}.AppendFrame(ack[:0], frame.Request)
		add(f.acks, from, ack)
		return nil
	})
	return record, err
}

// commit makes the record durable and brings Redis forward.
func (q *queue) commit(record []byte, heads map[protocol.Conversation]uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	offset, err := q.records.send(ctx, q.number, record)
	if err != nil {
		return err
	}
	args := make([]any, 2, 2+2*len(heads))
	args[0], args[1] = strconv.FormatInt(q.mark, 10), strconv.FormatInt(offset, 10)
	for c, seq := range heads {
		key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.A), c.B)
		args = append(args, key, strconv.FormatUint(seq, 10))
	}
	done, err := script.EvalSha(ctx, q.redis, q.keys, args...).Int()
	if err == nil && done != 1 {
		err = errors.New("somebody else writes to Redis")
	}
	q.mark = offset
	return err
}
