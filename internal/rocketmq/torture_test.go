//go:build cluster

package rocketmq

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gannet/internal/chain"
)

var tortureFor = flag.Duration("torture", 20*time.Second, "how long each torture takes")

const (
	tortureQueues  = 4
	tortureWriters = 3
)

// torture is a broker of its own, processes that write its queues, and what they say.
type torture struct {
	*testing.T
	broker *ownBroker
	topic  string
	client *Client

	mu      sync.Mutex
	start   []known // of each queue
	newest  []known // what is known to be durable
	acked   []map[uint64]chain.Mark
	records int
	wrong   []string

	spare   bool // the broker is stopped, but not killed
	writers []*exec.Cmd
	reading sync.WaitGroup // the lines of writers
	kills   int
	stops   int
	crashes int
}

// newTorture begins at what is known of each queue.
func newTorture(t *testing.T, b *ownBroker, places map[chain.Queue]Place, from []known) *torture {
	x := &torture{T: t, broker: b, topic: places[queues(1)[0]].Topic, client: openWithin(t, b.nameServer, places, 0), start: from, newest: slices.Clone(from)}
	for range from {
		x.acked = append(x.acked, map[uint64]chain.Mark{})
	}
	x.writers = make([]*exec.Cmd, tortureWriters)
	t.Cleanup(x.end)
	for i := range x.writers {
		x.spawn(i)
	}
	return x
}

// spawn starts writer i, which begins at what is known.
func (x *torture) spawn(i int) {
	x.mu.Lock()
	told, err := json.Marshal(torturer{NameServer: x.broker.nameServer, Instance: rand.Text(), Topic: x.topic, Broker: x.broker.name, From: x.newest})
	x.mu.Unlock()
	if err != nil {
		x.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		x.Fatal(err)
	}
	w := exec.Command(self)
	w.Env = append(os.Environ(), torturerVariable+"="+string(told))
	w.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.Stderr = os.Stderr
	out, err := w.StdoutPipe()
	if err == nil {
		err = w.Start()
	}
	if err != nil {
		x.Fatal(err)
	}
	x.writers[i] = w
	x.reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			x.line(lines.Text())
		}
		w.Wait()
	})
}

// line takes a line of a writer.
func (x *torture) line(line string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var queue int
	var k known
	head, tokens, _ := strings.Cut(line, "[")
	if n, _ := fmt.Sscanf(head, "acked %d %d %d %d %d", &queue, &k.Mark.Offset, &k.Mark.Writer, &k.Mark.Number, &k.Head); n != 5 || !strings.HasSuffix(tokens, "]") {
		if strings.HasPrefix(line, "wrong") {
			x.wrong = append(x.wrong, line)
		}
		return // half a line of one that was killed
	}
	x.records++
	for _, text := range strings.Fields(strings.TrimSuffix(tokens, "]")) {
		var token uint64
		fmt.Sscan(text, &token)
		x.acked[queue][token] = k.Mark
	}
	if k.Head > x.newest[queue].Head {
		x.newest[queue] = k
	}
}

// mild says that this was no torture yet: a slow machine gets few records between two
// faults.
func (x *torture) mild() bool {
	return x.count() < 100 || x.crashes == 0 && !x.spare || x.kills == 0
}

// disturb kills and stops writers and the broker for a while, and for longer while that
// was mild. A broker is killed again only once it has worked.
func (x *torture) disturb(d time.Duration) {
	nextCrash, worked := time.Now().Add(d/4), 0
	end := time.Now().Add(d)
	last := end.Add(patient)
	for now := time.Now(); (now.Before(end) || x.mild() && now.Before(last)) && !x.Failed(); now = time.Now() {
		time.Sleep(time.Duration(200+mathrand.IntN(800)) * time.Millisecond)
		i := mathrand.IntN(len(x.writers))
		switch w := x.writers[i]; {
		case !x.spare && time.Now().After(nextCrash) && x.count() >= worked:
			x.crashes++
			x.broker.kill()
			x.broker.start()
			nextCrash, worked = time.Now().Add(max(d/8, 4*time.Second)), x.count()+20
		case mathrand.IntN(10) == 0:
			x.stops++
			x.broker.stop(time.Duration(mathrand.IntN(1500)) * time.Millisecond)
		case mathrand.IntN(2) == 0:
			x.kills++
			w.Process.Kill()
			x.spawn(i)
		default:
			x.stops++
			w.Process.Signal(syscall.SIGSTOP)
			time.AfterFunc(time.Duration(mathrand.IntN(3000))*time.Millisecond, func() { w.Process.Signal(syscall.SIGCONT) })
		}
	}
}

// end kills the writers and waits for what they said.
func (x *torture) end() {
	for _, w := range x.writers {
		if w != nil {
			w.Process.Kill()
		}
	}
	x.reading.Wait()
}

// follow reads a queue as it grows, as far as records are acked, until ctx ends. It
// begins again where the end of the queue is replaced.
func (x *torture) follow(ctx context.Context, queue int) (marks []chain.Mark) {
	r := chain.NewReader(x.client, queues(tortureQueues)[queue], x.start[queue].Mark)
	for ctx.Err() == nil {
		err := r.Read(ctx, func(record *chain.Record) error {
			marks = append(marks, record.Mark)
			return nil
		})
		switch {
		case errors.Is(err, chain.ErrTorn):
			marks = nil
			r = chain.NewReader(x.client, queues(tortureQueues)[queue], x.start[queue].Mark)
		case errors.Is(err, chain.ErrLost) || errors.Is(err, chain.ErrRetention):
			x.Errorf("queue %d: a reader says %v", queue, err)
			return marks
		case err != nil:
			time.Sleep(10 * time.Millisecond)
		}
	}
	return marks
}

// check reads a queue from its start and holds it against what was acked.
func (x *torture) check(queue int, followed []chain.Mark) {
	ctx, cancel := context.WithTimeout(x.Context(), patient)
	defer cancel()
	q := queues(tortureQueues)[queue]
	var end int64
	until(x.T, "the broker says what it has", func() (ok bool) {
		var err error
		_, end, err = x.client.Bounds(ctx, q)
		return err == nil
	})
	r := chain.NewReader(x.client, q, x.start[queue].Mark)
	head, at, marks := x.start[queue].Head, map[uint64]chain.Mark{}, []chain.Mark{}
	err := r.ReadTo(ctx, end, func(record *chain.Record) error {
		marks = append(marks, record.Mark)
		for body := record.Body; len(body) > 0; body = body[16:] {
			if head++; binary.BigEndian.Uint64(body) != head {
				x.Errorf("queue %d: at %v comes seq %d where %d should be", queue, record.Mark, binary.BigEndian.Uint64(body), head)
				head = binary.BigEndian.Uint64(body)
			}
			token := binary.BigEndian.Uint64(body[8:])
			if other, twice := at[token]; twice {
				x.Errorf("queue %d: token %x counts at %v and %v", queue, token, other, record.Mark)
			}
			at[token] = record.Mark
		}
		return nil
	})
	if err != nil {
		x.Fatalf("queue %d: reading to the end says %v", queue, err)
	}
	for token, mark := range x.acked[queue] {
		if at[token] != mark {
			x.Errorf("queue %d: token %x was acked at %v and counts at %v", queue, token, mark, at[token])
		}
	}
	if n := len(followed); n > len(marks) || !slices.Equal(followed, marks[:n]) || n < len(marks)/2 {
		x.Errorf("queue %d: who followed it saw %d records, or others than the %d that count", queue, n, len(marks))
	}
	x.Logf("queue %d: %d records count, %d were stale, %d foreign, %d messages, %d of them acked", queue, len(marks), r.Seen(chain.Stale), r.Seen(chain.Foreign), len(at), len(x.acked[queue]))
}

// run is the whole of it.
func (x *torture) run() {
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	followed := make([][]chain.Mark, tortureQueues)
	var followers sync.WaitGroup
	for q := range followed {
		followers.Go(func() { followed[q] = x.follow(ctx, q) })
	}
	x.disturb(*tortureFor)
	for _, w := range x.writers {
		w.Process.Signal(syscall.SIGCONT)
	}
	before := x.count()
	until(x.T, "records are acked after it all", func() bool { return x.count() > before+20 })
	x.end()
	cancel()
	followers.Wait()
	for _, wrong := range x.wrong {
		x.Error(wrong)
	}
	for q := range tortureQueues {
		x.check(q, followed[q])
	}
	x.Logf("%d records were acked; writers and broker: %d kills, %d stops; the broker alone: %d kills", x.records, x.kills, x.stops, x.crashes)
	if x.mild() {
		x.Error("it was no torture")
	}
}

func (x *torture) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.records
}

func TestTorture(t *testing.T) {
	b := startBroker(t, server(t))
	places := topicOn(t, b.nameServer, b.name, tortureQueues)
	newTorture(t, b, places, slices.Repeat([]known{{Mark: chain.Beginning}}, tortureQueues)).run()
}
