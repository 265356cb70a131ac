package endtoend

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
	"gannet/protocol"
)

const (
	botUser   = 100
	firstPeer = 1 // of the writers, who each have a conversation with the bot
	peers     = 4
	ownPeer   = 50 // to whom the bot's user writes on another device
)

// trial is the bot, those who write to it, and the server between them.
type trial struct {
	t       *testing.T
	server  *daemon
	bot     *bot
	writers []*writer
	chance  *rand.Rand
	own     uint64 // messages of the bot's user on another device
}

// A bot that stores nothing gets every acked message, in order, whoever dies; twice
// only what it had not acked when it or the server died.
func TestBotMissesNothing(t *testing.T) {
	const seed = 1
	tr := &trial{t: t, chance: rand.New(rand.NewPCG(seed, 1))}
	tr.server = serve(t, t.TempDir(), servicestest.FreeAddress(t), "--debug", "127.0.0.1:0", "--limits", "off")
	for user := uint64(firstPeer); user < firstPeer+peers; user++ {
		tr.writers = append(tr.writers, newWriter(t, tr.server, user, botUser))
	}
	tr.bot = newBot(t, botUser, tr.server)
	tr.writeOwn(20) // before its first login
	tr.bot.start()

	tr.underLoad(func() {
		deeds := slices.Repeat([]func(){tr.stopAWhile, tr.endBot, tr.killBot, tr.killServer}, 4)
		tr.chance.Shuffle(len(deeds), func(i, j int) { deeds[i], deeds[j] = deeds[j], deeds[i] })
		for _, deed := range deeds {
			tr.pause()
			deed()
		}
	})
	tr.writeOwn(20)
	tr.settle()
	tr.overflow()
	tr.settle()

	// With every ack taken, neither a new bot nor a new server repeats anything.
	tr.bot.end(syscall.SIGKILL)
	tr.bot.start()
	tr.onlyNewComes()
	before := len(tr.bot.current())
	tr.server.stop()
	tr.restartServer()
	tr.writeEach()
	tr.settle()
	if again := tr.bot.current()[before:]; len(again) != peers {
		t.Errorf("after the server's restart the bot printed %d messages, want one of each writer; the first: %v", len(again), again[:min(len(again), 5)])
	}
	tr.bot.end(syscall.SIGKILL)
	tr.bot.start()
	tr.onlyNewComes()
	tr.verify()
}

// underLoad plays while all writers write.
func (tr *trial) underLoad(play func()) {
	ctx, stop := context.WithCancel(tr.t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	for _, w := range tr.writers {
		writing.Go(func() { w.keepWriting(ctx) })
	}
	play()
}

// acked gives how many messages are acked.
func (tr *trial) acked() (n int) {
	for _, w := range tr.writers {
		count, _ := w.acked()
		n += count
	}
	return n
}

// pause lets the bot get some messages, or just some time, so that it is met at its
// start and in its sync as well.
func (tr *trial) pause() {
	tr.t.Helper()
	if tr.chance.IntN(3) == 0 {
		time.Sleep(time.Duration(tr.chance.IntN(150)) * time.Millisecond)
		return
	}
	enough := tr.bot.printed() + 1 + tr.chance.IntN(500)
	await(tr.t, "the bot gets messages", func() bool { return tr.bot.printed() >= enough })
}

// meanwhile waits until some messages are acked.
func (tr *trial) meanwhile() {
	tr.t.Helper()
	enough := tr.acked() + tr.chance.IntN(500)
	await(tr.t, "messages are acked", func() bool { return tr.acked() >= enough })
}

// overflow stops the bot until a push for it does not fit any more. Nothing comes
// after it: that there is more, only a hint says.
func (tr *trial) overflow() {
	tr.t.Helper()
	full := func() uint64 { return hinted(tr.t, tr.server.debug) }
	before := full()
	tr.bot.signal(syscall.SIGSTOP)
	await(tr.t, "a push does not fit", func() bool {
		for range 8 {
			tr.writers[0].write(60 << 10)
		}
		return full() > before
	})
	tr.writers[0].settle()
	tr.bot.signal(syscall.SIGCONT)
}

func (tr *trial) stopAWhile() {
	tr.t.Helper()
	tr.bot.signal(syscall.SIGSTOP)
	tr.meanwhile()
	if tr.chance.IntN(2) == 0 {
		tr.killServer()
	}
	tr.bot.signal(syscall.SIGCONT)
}

func (tr *trial) endBot()  { tr.replaceBot(syscall.SIGTERM) }
func (tr *trial) killBot() { tr.replaceBot(syscall.SIGKILL) }

func (tr *trial) replaceBot(s syscall.Signal) {
	tr.t.Helper()
	tr.bot.end(s)
	if tr.chance.IntN(2) == 0 {
		tr.meanwhile()
	}
	tr.bot.start()
}

func (tr *trial) killServer() {
	tr.t.Helper()
	tr.server.kill()
	tr.restartServer()
}

// restartServer starts a server on the data and the address of the one before.
func (tr *trial) restartServer() {
	tr.t.Helper()
	tr.server = serve(tr.t, tr.server.data, tr.server.address, "--debug", "127.0.0.1:0", "--limits", "off")
	tr.bot.server = tr.server
}

// writeEach sends one message of each writer.
func (tr *trial) writeEach() {
	for _, w := range tr.writers {
		w.write(0)
	}
}

// writeOwn sends messages of the bot's user on another device, which never acks.
func (tr *trial) writeOwn(n int) {
	tr.t.Helper()
	p := loginRaw(tr.t, tr.server.address, tr.server.data, botUser, 1)
	defer p.Close()
	for range n {
		tr.own++
		p.send(protocol.Send{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: ownPeer}, ClientID: tr.own,
			Content: protocol.ContentText, Body: []byte("7"),
		}.AppendFrame(nil, 1))
		f := p.next()
		for f.Type != protocol.TypeSendAck { // pushes for this device
			if f.Type < protocol.TypePush || f.Type >= protocol.TypeError {
				tr.t.Fatalf("own message %d: %#x", tr.own, f.Type)
			}
			f = p.next()
		}
	}
}

// heads gives the highest seq of each sender's conversation.
func (tr *trial) heads() map[uint64]uint64 {
	heads := map[uint64]uint64{botUser: tr.own}
	for _, w := range tr.writers {
		_, heads[w.user] = w.acked()
	}
	return heads
}

// settle waits until the bot has got everything and the server has its acks.
func (tr *trial) settle() {
	tr.t.Helper()
	for _, w := range tr.writers {
		w.settle()
	}
	for sender, head := range tr.heads() {
		await(tr.t, "the bot gets the last message", func() bool { return tr.bot.highest()[sender] >= head })
		peer := sender
		if sender == botUser {
			peer = ownPeer
		}
		await(tr.t, "the bot's last ack arrives", func() bool { return tr.delivered(peer) == head })
	}
}

// delivered gives how far the bot has acked a conversation: no other device of its
// user acks, and its user never reads.
func (tr *trial) delivered(peer uint64) uint64 {
	tr.t.Helper()
	p := loginRaw(tr.t, tr.server.address, tr.server.data, peer, 99)
	defer p.Close()
	p.send(protocol.Sync{}.AppendFrame(nil, 2))
	f := p.next()
	for f.Type != protocol.TypeSynced {
		f = p.next()
	}
	var page protocol.Synced
	if err := page.Decode(f.Payload); err != nil {
		tr.t.Fatal(err)
	}
	for s := range page.States() {
		if s.Target.ID == botUser {
			return s.PeerDelivered
		}
	}
	return 0
}

// onlyNewComes says that the bot that was started just now gets new messages and
// none from before.
func (tr *trial) onlyNewComes() {
	tr.t.Helper()
	before := tr.heads()
	tr.writeEach()
	tr.settle()
	again := slices.DeleteFunc(tr.bot.current(), func(h heard) bool { return h.seq > before[h.sender] })
	if len(again) > 0 {
		tr.t.Errorf("the bot got %d messages again whose acks were taken; the first: %v", len(again), again[:min(len(again), 5)])
	}
}

// verify checks what the bot has printed in all its lives: in each of them all
// messages in order, none twice and none left out, from one at most past the last.
func (tr *trial) verify() {
	tr.t.Helper()
	byUser := map[uint64]*writer{}
	for _, w := range tr.writers {
		byUser[w.user] = w
		if count, last := w.acked(); uint64(count) != last {
			tr.t.Errorf("writer %d: %d messages are acked, the highest seq is %d", w.user, count, last)
		}
	}
	highest := map[uint64]uint64{}
	repeated := 0
	for i, l := range tr.bot.lives {
		at := map[uint64]uint64{} // the last seq of each sender in this life
		for _, h := range l {
			if w := byUser[h.sender]; w == nil && h.sender != botUser {
				tr.t.Fatalf("a message of %d, who sent none", h.sender)
			} else if w != nil {
				if number, _ := w.at(h.seq); number != h.number {
					tr.t.Errorf("life %d: message %d of %d says %d, sent was %d", i, h.seq, h.sender, h.number, number)
				}
			}
			last, begun := at[h.sender]
			if begun && h.seq != last+1 || h.seq > highest[h.sender]+1 {
				tr.t.Errorf("life %d: message %d of %d after %d, and %d in any life", i, h.seq, h.sender, last, highest[h.sender])
			}
			if h.seq <= highest[h.sender] {
				repeated++
			}
			at[h.sender], highest[h.sender] = h.seq, max(highest[h.sender], h.seq)
		}
	}
	for sender, head := range tr.heads() {
		if highest[sender] != head {
			tr.t.Errorf("the bot got messages of %d up to %d of %d", sender, highest[sender], head)
		}
	}
	tr.t.Logf("%d messages acked, %d printed in %d lives, %d of them again", tr.acked()+int(tr.own), tr.bot.total, len(tr.bot.lives), repeated)
}

// The bot is what its description says: short, and made of the standard library.
func TestBotIsSmall(t *testing.T) {
	source, err := os.ReadFile(botFile)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines > 60 {
		t.Errorf("%d lines, at most 60", lines)
	}
	standard := []string{"os", "random", "select", "socket", "struct", "sys", "time"}
	imports := regexp.MustCompile(`(?m)^\s*(?:import|from) (.*)$`).FindAllSubmatch(source, -1)
	if len(imports) == 0 {
		t.Error("it imports nothing")
	}
	for _, line := range imports {
		for _, name := range bytes.Split(line[1], []byte(", ")) {
			if !slices.Contains(standard, string(name)) {
				t.Errorf("it imports %s", name)
			}
		}
	}
}
