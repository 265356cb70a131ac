package gateway

import (
	"math/rand/v2"
	"testing"

	"gannet/protocol"
)

// table is a lane in the hands of a test: it is not running.
type table struct {
	*lane
	t testing.TB
}

func newTable(t testing.TB) *table { return newTableOf(t, Config{}) }

// newTableOf gives a lane whose batches have the size that a configuration says.
func newTableOf(t testing.TB, c Config) *table {
	c.Logic, c.Lanes = newLogic(), 1
	g := build(c)
	t.Cleanup(func() {
		if err := g.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return &table{newLane(g, 0), t}
}

// sit gives a connection.
func (l *table) sit(user uint64) *session {
	s := &session{gateway: l.gateway, user: user, device: user}
	s.id = user
	s.parts = newParts(s)
	return s
}

// put adds a SEND of about so many bytes, as often as there is room, at most n times.
func (l *table) put(s *session, size, n int) (taken int) {
	frame := sendFrame(2, 1, string(make([]byte, max(0, size-len(sendFrame(2, 1, ""))))))
	for ; taken < n && l.add(s, frame); taken++ {
		s.window.add(1, len(frame))
	}
	return taken
}

// size is what a batch counts as.
func (l *table) size(f *filling) int {
	return len(f.batch.Frames) + f.batch.Len()*l.gateway.batches.frame
}

// forSizes runs a test with batches of the default size, and with such as are cut for a
// record of a cluster.
func forSizes(t *testing.T, test func(t *testing.T, c Config)) {
	t.Run("default", func(t *testing.T) { test(t, Config{}) })
	t.Run("record", func(t *testing.T) { test(t, Config{BatchBytes: 112 << 10, FrameCost: 100}) })
}

// serve takes the next batch away and gives the bytes and frames of each connection.
func (l *table) serve() (bytes, frames map[uint64]int) {
	l.t.Helper()
	bytes, frames = map[uint64]int{}, map[uint64]int{}
	f := l.next()
	if f == nil {
		return nil, nil
	}
	l.sift(f)
	if err := f.batch.Check(); err != nil || len(f.parts) != f.batch.Len() {
		l.t.Fatalf("a batch of %d frames has %d parts, %v", f.batch.Len(), len(f.parts), err)
	}
	if n := l.size(f); n > l.gateway.batches.most && f.batch.Len() > 1 {
		l.t.Fatalf("a batch of %d frames counts as %d bytes", f.batch.Len(), n)
	}
	for i := range f.batch.Len() {
		bytes[f.batch.Conns[i]] += len(f.batch.Bytes(i))
		frames[f.batch.Conns[i]]++
	}
	f.release()
	l.done(f)
	return bytes, frames
}

// Whatever others have waiting, one message of somebody else is in the next batch, or,
// where batches are small, in as many as make one of the default size.
func TestNeighbourIsInTheNextBatch(t *testing.T) { forSizes(t, testNeighbour) }

func testNeighbour(t *testing.T, config Config) {
	for _, c := range []struct {
		name        string
		size, peers int
	}{
		{"one sends the longest bodies", protocol.MaxBody, 1},
		{"many send the longest bodies", protocol.MaxBody, 200},
		{"some send a little more than a share each", shareBytes / 8, 20},
		{"some send the shortest messages", 0, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newTableOf(t, config)
			batches := (DefaultBatchBytes + l.gateway.batches.most - 1) / l.gateway.batches.most
			for i := range c.peers {
				l.put(l.sit(uint64(100+i)), c.size, min(maxWritesInFlight, windowBytes/max(c.size, 1)))
			}
			if l.bytes < 2*l.gateway.batches.most/3 {
				t.Fatalf("only %d bytes wait", l.bytes)
			}
			l.serve()
			for round := range 20 {
				if n := l.put(l.sit(1), 200, 1); n != 1 {
					t.Fatalf("round %d: the neighbour is refused", round)
				}
				served := 0
				for range batches {
					_, frames := l.serve()
					served += frames[1]
				}
				if served != 1 {
					t.Fatalf("round %d: the next %d batches have nothing of the neighbour", round, batches)
				}
			}
		})
	}
}

func sum(m map[uint64]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// Connections that all have more than their share waiting get as many bytes each,
// however long their frames are.
func TestSurplusGoesRound(t *testing.T) { forSizes(t, testSurplusGoesRound) }

func testSurplusGoesRound(t *testing.T, config Config) {
	l := newTableOf(t, config)
	most := l.gateway.batches.most
	rounds := 60 * DefaultBatchBytes / most
	sizes := map[uint64]int{1: 60 << 10, 2: 9 << 10, 3: 1 << 10, 4: 50 << 10, 5: 300}
	total := map[uint64]int{}
	sessions := map[uint64]*session{}
	for user := range sizes {
		sessions[user] = l.sit(user)
	}
	for range rounds {
		for user, s := range sessions {
			l.put(s, sizes[user], maxWritesInFlight)
		}
		bytes, frames := l.serve()
		for user, n := range bytes {
			total[user] += n
		}
		if most == DefaultBatchBytes && len(bytes) < 4 {
			t.Fatalf("a batch is of %d connections, of %d that wait", len(bytes), len(sizes))
		}
		if n := sum(bytes) + sum(frames)*config.FrameCost; n < most-protocol.MaxFrame {
			t.Fatalf("a batch of %d bytes, though more waits", n)
		}
	}
	all := sum(total)
	for user := range uint64(4) {
		if got, want := total[user+1], all/5; got < want/2 || got > want*3/2 {
			t.Errorf("connection %d with frames of %d bytes got %d bytes of about %d", user+1, sizes[user+1], got, want)
		}
	}
	if got, most := total[5], rounds*8*shareFrames*400; got == 0 || got > most {
		t.Errorf("the one with short frames got %d bytes", got)
	}
}

// Those who have little waiting, and are many, do not starve those who have much.
func TestSurplusIsNotStarved(t *testing.T) { forSizes(t, testSurplusIsNotStarved) }

func testSurplusIsNotStarved(t *testing.T, config Config) {
	l := newTableOf(t, config)
	greedy := l.sit(1)
	l.put(greedy, protocol.MaxBody, 10)
	modest := make([]*session, 100)
	for i := range modest {
		modest[i] = l.sit(uint64(10 + i))
	}
	got := 0
	for range 40 {
		for _, s := range modest {
			if s.parts[0].frames == 0 {
				l.put(s, shareBytes/2, 1)
			}
		}
		if l.bytes < l.gateway.batches.most {
			t.Fatalf("only %d bytes wait", l.bytes)
		}
		_, frames := l.serve()
		got += frames[1]
	}
	if got != 10 {
		t.Errorf("%d of its 10 frames were carried in 40 batches", got)
	}
}

// What is kept of each batch for a long frame of a surplus is given back with the last
// surplus, so that batches are full again when there is another one.
func TestRoomForALongFrameIsGivenBack(t *testing.T) {
	const most, cost = 112 << 10, 100
	l := newTableOf(t, Config{BatchBytes: most, FrameCost: cost})
	user := uint64(10)
	inQueue := func() (frames int) { // of the first batch
		for ; len(l.waiting) < 3; user++ {
			l.put(l.sit(user), shareBytes/2-cost, 1)
		}
		return l.waiting[0].batch.Len()
	}
	l.put(l.sit(1), protocol.MaxBody, 1)
	if got := inQueue(); l.surplus != 1 || got > (most-protocol.MaxBody)*2/shareBytes {
		t.Fatalf("%d connections have a surplus, and %d frames are before it in the first batch", l.surplus, got)
	}
	for f := l.next(); f != nil; f = l.next() {
		l.done(f)
	}
	l.put(l.sit(2), shareBytes+1, 1)
	if got, want := inQueue(), most*(surplusShare-1)/surplusShare*2/shareBytes; l.surplus != 1 || got < want {
		t.Errorf("%d connections have a surplus, and %d frames are before it in the first batch, not %d", l.surplus, got, want)
	}
}

// Where many have as much waiting as they may, and go on sending, whoever has less
// waiting may have more.
func TestThereIsRoomForAShare(t *testing.T) {
	l := newTable(t)
	var greedy []*session
	for user := range uint64(20) {
		greedy = append(greedy, l.sit(user+1))
	}
	for range 40 { // until they share what there is
		l.serve()
		for _, s := range greedy {
			l.put(s, shareBytes/2, windowBytes/(shareBytes/2))
		}
	}
	for user := range uint64(5) {
		if n := l.put(l.sit(100+user), shareBytes/8, 8); n != 8 {
			t.Errorf("connection %d has room for %d frames, of 8 that are a share", user, n)
		}
	}
}

// A lane that is full for those who have much in it has room for a message of
// everybody else.
func TestFullLaneHasRoomForANewcomer(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
	}{{"bytes", shareBytes}, {"frames", 0}} {
		t.Run(c.name, func(t *testing.T) {
			l := newTable(t)
			var full []*session
			for user := uint64(1); l.bytes < laneBytes-shareBytes && l.frames < laneFrames; user++ {
				s := l.sit(user)
				if l.put(s, c.size, maxWritesInFlight) == 0 {
					t.Fatalf("connection %d finds no room", user)
				}
				full = append(full, s)
			}
			if l.put(full[0], shareBytes, 1)+l.put(full[len(full)-1], shareBytes, 1) != 0 {
				t.Error("who has much waiting is not refused")
			}
			before := l.frames
			for user := range uint64(DefaultMaxConnections) {
				if l.put(l.sit(1<<20+user), 200, 1) != 1 {
					t.Fatalf("newcomer %d is refused", user)
				}
			}
			for newcomers := 0; newcomers < DefaultMaxConnections; {
				_, frames := l.serve()
				if frames == nil {
					t.Fatalf("%d of %d newcomers were served", newcomers, DefaultMaxConnections)
				}
				for user := range frames {
					if user >= 1<<20 {
						newcomers++
					}
				}
			}
			if before == 0 || l.left() != 0 {
				t.Errorf("%d frames waited", before)
			}
		})
	}
}

// Whatever comes and goes in whatever order: nothing is lost or repeated, what a
// connection sent stays in its order, and at last nothing is counted as waiting.
func TestLaneKeepsOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l := newTable(t)
		sessions := make([]*session, 1+rng.IntN(200))
		sent, got := make([]uint64, len(sessions)), make([]uint64, len(sessions))
		for i := range sessions {
			sessions[i] = l.sit(uint64(i))
		}
		serve := func() bool {
			f := l.next()
			if f == nil {
				return false
			}
			for i, p := range f.parts {
				frame, ok := f.batch.Frame(i)
				c := f.batch.Conns[i]
				if got[c]++; !ok || p.session != sessions[c] || uint64(frame.Request) != got[c] {
					t.Fatalf("seed %d: frame %d of connection %d came as number %d", seed, frame.Request, c, got[c])
				}
			}
			l.done(f)
			return true
		}
		for range 800 {
			i := rng.IntN(len(sessions))
			size := 0
			switch rng.IntN(6) {
			case 0:
				size = rng.IntN(protocol.MaxBody / 4)
			case 1:
				size = rng.IntN(1 << 10)
			}
			body := string(make([]byte, size))
			for range 1 + rng.IntN(30) {
				if !l.add(sessions[i], sendFrame(2, sent[i]+1, body)) {
					break
				}
				sent[i]++
			}
			if rng.IntN(25) == 0 {
				serve()
			}
			if rng.IntN(300) == 0 {
				l.mark()
			}
		}
		for serve() {
		}
		for i := range sessions {
			if got[i] != sent[i] {
				t.Errorf("seed %d: %d of %d frames of connection %d", seed, got[i], sent[i], i)
			}
			if p := sessions[i].parts[0]; p.bytes != 0 || p.frames != 0 || p.surplus != nil || p.old != 0 || p.void != 0 {
				t.Errorf("seed %d: at last %+v", seed, p)
			}
		}
		if l.bytes != 0 || l.frames != 0 || l.surplus != 0 || l.old != 0 || l.ring.last != nil || len(l.waiting) != 0 {
			t.Errorf("seed %d: at last %d bytes, %d frames, %d with a surplus, %d old", seed, l.bytes, l.frames, l.surplus, l.old)
		}
	}
}

// Of a connection that is gone, the acks are carried that stood behind its share like
// those within it, in their order, and nothing else.
func TestAcksOfAConnectionThatIsGoneAreCarried(t *testing.T) {
	l := newTable(t)
	s := l.sit(1)
	add := func(frame []byte) {
		if !l.add(s, frame) {
			t.Fatal("there is no room")
		}
		s.window.add(1, len(frame))
	}
	const each = 2 * shareFrames
	for seq := range uint64(each) {
		add(cursorTo(2, seq).AppendPushAck(nil, 0))
		add(cursorTo(2, seq).AppendRead(nil, 5))
		add(sendFrame(2, 1, "x"))
	}
	l.mark()
	add(cursorTo(2, each).AppendRead(nil, 0))
	s.phase.Store(phaseClosing)
	got := uint64(0)
	for f := l.next(); f != nil; f = l.next() {
		l.sift(f)
		for i := range f.batch.Len() {
			var c protocol.Cursor
			frame, _ := f.batch.Frame(i)
			if err := c.Decode(frame.Payload); err != nil || frame.Request != 0 || c.Seq != got {
				t.Fatalf("%v %d of seq %d is carried, %d acks before it; %v", frame.Type, frame.Request, c.Seq, got, err)
			}
			got++
		}
		f.release()
		l.done(f)
	}
	if got != each+1 {
		t.Errorf("%d acks of %d were carried", got, each+1)
	}
	if n := l.gateway.counters.droppedFrames.Load(); n != 2*each {
		t.Errorf("%d frames are counted as dropped, of %d", n, 2*each)
	}
	frames, bytes := s.window.add(0, 0)
	if p := s.parts[0]; frames != 0 || bytes != 0 || p.surplus != nil || p.old != 0 || l.left() != 0 || l.bytes != 0 || l.frames != 0 {
		t.Errorf("at last %d frames of %d bytes are under way, %+v, and %d old in the lane", frames, bytes, p, l.left())
	}
}
