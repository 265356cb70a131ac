package load

import (
	"context"
	"iter"

	gannet "gannet/sdk/go"
)

// checkHistory reads the whole conversation of a and b, who sent nothing else
// in it than this run's messages, and whose clients are quiet: every acked
// message is there once, under its seq and intact, each user's messages are in
// order, and seqs rise by one from 1.
func checkHistory(a, b *user, messages iter.Seq2[gannet.Message, error]) {
	f := &a.load.Faults
	last := uint64(0)         // seq
	counters := [2]uint64{}   // of the last message of a and of b
	senders := [2]*user{a, b} //
	count := [2]int{}         // how many messages of a and of b are there
	for m, err := range messages {
		if err != nil {
			f.Addf("user %d: the history of the conversation with %d ends after seq %d: %v", a.id, b.id, last, err)
			return
		}
		if m.Seq != last+1 {
			f.Addf("user %d: in the history of the conversation with %d seq %d follows %d", a.id, b.id, m.Seq, last)
		}
		last = m.Seq
		h, ok := readHeader(m.Body)
		side := 0
		if h.Sender == b.id {
			side = 1
		}
		sender := senders[side]
		if !ok || h.Run != a.load.run || h.Sender != sender.id || m.Sender != sender.id {
			f.Addf("user %d: in the history of the conversation with %d seq %d is corrupted or not of this run", a.id, b.id, m.Seq)
			continue
		}
		if h.Counter != counters[side]+1 && !a.load.config.Mixed {
			f.Addf("user %d: in the history message %d of user %d follows message %d", a.id, h.Counter, sender.id, counters[side])
		}
		counters[side] = h.Counter
		count[side]++
		if h.Counter == 0 || h.Counter > uint64(len(sender.seqs)) {
			f.Addf("user %d: message %d of user %d is in the history but has no ack", a.id, h.Counter, sender.id)
		} else if seq := sender.seqs[h.Counter-1]; seq != m.Seq {
			f.Addf("user %d: message %d of user %d was acked as seq %d and is in the history as %d", a.id, h.Counter, sender.id, seq, m.Seq)
		}
	}
	for side, sender := range senders {
		if count[side] != len(sender.seqs) {
			f.Addf("user %d: %d messages of user %d were acked and %d are in the history", a.id, len(sender.seqs), sender.id, count[side])
		}
	}
}

// maxPages bounds the conversations that are read at once.
const maxPages = 8

// CheckHistories reads all conversations; the clients, which are the SDK's, are
// open and are quiet.
func (l *Load) CheckHistories(ctx context.Context) {
	_ = InParallel(ctx, maxPages, len(l.users)/2, func(ctx context.Context, i int) error {
		a, b := l.users[2*i], l.users[2*i+1]
		checkHistory(a, b, a.client.(*sdkClient).History(ctx, gannet.User(b.id), gannet.After(0)))
		return nil
	})
}
