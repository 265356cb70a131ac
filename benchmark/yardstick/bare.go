package yardstick

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/cockroachdb/pebble/v2"

	"gannet/protocol"
)

// BareServer is the yardstick for a whole server: the least that netpoll, one
// writer goroutine and Pebble need to take a message, sync it to disk, ack it
// and push it to its receiver. It speaks just enough of the protocol for Pairs.
// It believes every token, checks nothing, bounds nothing and keeps no history that could be asked for: it measures what is left
// when a server does nothing else. Its fields are flags, named like those of a server.
type BareServer struct {
	Data      string `help:"Folder for the store." required:""`
	Listen    string `help:"Address for clients." default:"127.0.0.1:0"`
	ReadyFile string `help:"Where to write the address once it listens." required:""`
	Memtable  int    `help:"MiB that Pebble gathers before it writes a table." default:"1024"`
}

// BareToken is what a BareServer takes for a token: the user's id.
func BareToken(user uint64) (string, error) { return strconv.FormatUint(user, 10), nil }

// Run serves until ctx is done.
func (s *BareServer) Run(ctx context.Context, _, _ io.Writer) error {
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	db, err := OpenStore(filepath.Join(s.Data, "db"), uint64(s.Memtable)<<20)
	if err != nil {
		return err
	}
	// The process ends without closing it: nothing in it is needed any more.
	b := &bare{db: db, wake: make(chan struct{}, 1), users: map[uint64]*bareConn{}, seqs: map[protocol.Conversation]uint64{}}
	failed := make(chan error, 1)
	go func() { failed <- b.run() }()
	return Serve(ctx, s.Listen, "", s.ReadyFile, failed,
		func(ctx context.Context, conn netpoll.Connection) error {
			return ctx.(*bareConn).read(conn)
		},
		netpoll.WithOnPrepare(func(conn netpoll.Connection) context.Context {
			c := &bareConn{Context: context.Background(), bare: b, fd: conn.(netpoll.Conn).Fd()}
			_ = conn.AddCloseCallback(func(netpoll.Connection) error {
				c.end()
				return nil
			})
			return c
		}))
}

// bare is the state of a BareServer.
type bare struct {
	db   *pebble.DB
	wake chan struct{} // holds one token while filling may not be empty

	mu      sync.Mutex
	filling bareBatch
	users   map[uint64]*bareConn

	// The writer's own.
	seqs map[protocol.Conversation]uint64
	keys []byte
}

// bareBatch is SEND payloads, one behind the other, and whose they are.
type bareBatch struct {
	payloads []byte
	sends    []bareSend
}

type bareSend struct {
	from       *bareConn
	request    uint32
	start, end int
}

// run is the writer: batch after batch, each synced before it is answered, and
// one write for each connection that it concerns.
func (b *bare) run() error {
	var spare bareBatch
	var frame []byte
	var touched []*bareConn
	for range b.wake {
		for {
			b.mu.Lock()
			batch := b.filling
			b.filling = spare
			b.mu.Unlock()
			if len(batch.sends) == 0 {
				spare = batch
				break
			}
			now := uint64(time.Now().UnixMilli())
			store := b.db.NewBatch()
			touched = touched[:0]
			for _, s := range batch.sends {
				var m protocol.Send
				if err := m.Decode(batch.payloads[s.start:s.end]); err != nil {
					return err
				}
				conversation := m.Target.Conversation(s.from.user)
				b.seqs[conversation]++
				seq := b.seqs[conversation]
				frame = protocol.Message{
					Target: m.Target, Seq: seq, Time: now, Sender: s.from.user, Device: 1,
					ClientID: m.ClientID, Content: m.Content, Body: m.Body,
				}.AppendFrame(frame[:0])
				b.keys = b.keys[:0]
				b.keys = binary.BigEndian.AppendUint64(b.keys, conversation.A)
				b.keys = binary.BigEndian.AppendUint64(b.keys, conversation.B)
				b.keys = binary.BigEndian.AppendUint64(b.keys, seq)
				if err := store.Set(b.keys, frame, nil); err != nil {
					return err
				}
				if len(s.from.out) == 0 {
					touched = append(touched, s.from)
				}
				s.from.out = protocol.SendAck{ClientID: m.ClientID, Seq: seq, Time: now}.AppendFrame(s.from.out, s.request)
				b.mu.Lock()
				to := b.users[m.Target.ID]
				b.mu.Unlock()
				if to != nil {
					if len(to.out) == 0 {
						touched = append(touched, to)
					}
					to.out = append(to.out, frame...)
				}
			}
			if err := store.Commit(pebble.Sync); err != nil {
				return err
			}
			if err := store.Close(); err != nil {
				return err
			}
			for _, c := range touched {
				// Whoever has gone away does not stop the others.
				_ = c.write(c.out)
				c.out = c.out[:0]
			}
			spare = bareBatch{payloads: batch.payloads[:0], sends: batch.sends[:0]}
		}
	}
	return nil
}
