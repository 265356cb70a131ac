package rocketmq

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Request codes of the broker's protocol.
const (
	pullMessage  = 11
	makeTopic    = 17
	getSettings  = 26
	getMaxOffset = 30
	getMinOffset = 31
	getRoute     = 105
)

// noTopic is the code with which brokers and name servers say that they know no such topic.
const noTopic = 17

var errNoTopic = errors.New("it knows no such topic")

// maxReply bounds what is read of an answer.
const maxReply = 16 << 20

// remote speaks the protocol of brokers and name servers:
//
//	length u32 of what follows, header length u32, header (JSON), body
//
// A connection carries one call at a time, so that every call has a deadline of its own.
type remote struct {
	opaque atomic.Int32
	mu     sync.Mutex
	idle   map[string][]net.Conn
	closed bool
}

type request struct {
	Code     int               `json:"code"`
	Language string            `json:"language"`
	Version  int               `json:"version"`
	Opaque   int32             `json:"opaque"`
	Flag     int               `json:"flag"`
	Fields   map[string]string `json:"extFields,omitempty"`
}

// reply is the answer to a call.
type reply struct {
	Code   int               `json:"code"`
	Opaque int32             `json:"opaque"`
	Remark string            `json:"remark"`
	Fields map[string]string `json:"extFields"`

	body []byte
}

func newRemote() *remote { return &remote{idle: map[string][]net.Conn{}} }

// close closes the connections; calls under way end as they would.
func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, conns := range r.idle {
		for _, c := range conns {
			c.Close()
		}
	}
	r.idle = nil
}

// call sends a request and waits for the answer. An idle connection may be dead. Then call sends
// the request again on a new connection, so the server may get it twice.
func (r *remote) call(ctx context.Context, address string, code int, fields map[string]string, body []byte) (*reply, error) {
	r.mu.Lock()
	var conn net.Conn
	if n := len(r.idle[address]); n > 0 {
		conn = r.idle[address][n-1]
		r.idle[address] = r.idle[address][:n-1]
	}
	r.mu.Unlock()
	if conn != nil {
		if a, err := r.on(ctx, conn, address, code, fields, body); err == nil || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			return a, err
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return r.on(ctx, conn, address, code, fields, body)
}

// on makes a call on a connection, which it keeps or closes.
func (r *remote) on(ctx context.Context, conn net.Conn, address string, code int, fields map[string]string, body []byte) (a *reply, err error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		usable := stop() && err == nil
		r.mu.Lock()
		defer r.mu.Unlock()
		if usable && !r.closed {
			r.idle[address] = append(r.idle[address], conn)
		} else {
			conn.Close()
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	q := request{Code: code, Language: "GO", Version: 317, Opaque: r.opaque.Add(1), Fields: fields}
	head, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	if _, err := conn.Write(append(append(b, head...), body...)); err != nil {
		return nil, err
	}
	return readReply(conn, q.Opaque)
}

func readReply(from io.Reader, opaque int32) (*reply, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(from, lengths[:]); err != nil {
		return nil, err
	}
	all, head := binary.BigEndian.Uint32(lengths[:]), binary.BigEndian.Uint32(lengths[4:])
	if head>>24 != 0 || head > all || all < 4 || all > maxReply || head > all-4 {
		return nil, fmt.Errorf("rocketmq: an answer of %d bytes with a head of %#x", all, head)
	}
	b := make([]byte, all-4)
	if _, err := io.ReadFull(from, b); err != nil {
		return nil, err
	}
	a := &reply{body: b[head:]}
	if err := json.Unmarshal(b[:head], a); err != nil {
		return nil, fmt.Errorf("rocketmq: an answer that cannot be read: %w", err)
	}
	if a.Opaque != opaque {
		return nil, fmt.Errorf("rocketmq: an answer to call %d, not to %d", a.Opaque, opaque)
	}
	return a, nil
}

// route is where a topic lies.
type route struct {
	queues    map[string]int    // how many of its queues can be written, by broker
	addresses map[string]string // of the master, by broker
}

// route asks the name servers, one after the other, where a topic lies.
func (r *remote) route(ctx context.Context, nameServers []string, topic string) (*route, error) {
	var all error
	for _, address := range nameServers {
		found, err := r.routeOf(ctx, address, topic)
		if err == nil {
			return found, nil
		}
		all = errors.Join(all, fmt.Errorf("rocketmq: topic %s at name server %s: %w", topic, address, err))
	}
	return nil, all
}

func (r *remote) routeOf(ctx context.Context, address, topic string) (*route, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a, err := r.call(ctx, address, getRoute, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"}, nil)
	var dial *net.OpError
	if err != nil && !(errors.As(err, &dial) && dial.Op == "dial") && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("it takes connections and does not answer as name servers do; it may hang, or be no name server of RocketMQ: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if a.Code == noTopic {
		return nil, errNoTopic
	}
	if a.Code != 0 {
		return nil, fmt.Errorf("code %d: %s", a.Code, a.Remark)
	}
	var body struct {
		QueueDatas []struct {
			BrokerName                    string
			ReadQueueNums, WriteQueueNums int
		}
		BrokerDatas []struct {
			BrokerName  string
			BrokerAddrs map[string]string
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return nil, err
	}
	found := &route{queues: map[string]int{}, addresses: map[string]string{}}
	for _, q := range body.QueueDatas {
		found.queues[q.BrokerName] = min(q.ReadQueueNums, q.WriteQueueNums)
	}
	for _, b := range body.BrokerDatas {
		found.addresses[b.BrokerName] = b.BrokerAddrs[strconv.Itoa(0)]
	}
	return found, nil
}
