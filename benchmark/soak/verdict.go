package soak

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Verdict is what the diaries of all clients say.
type Verdict struct {
	Lives     int // of clients
	Taken     int // messages that an app was told are taken
	Untold    int // messages that were sent though their app died before it was told
	Acked     int // messages whose app was told their place
	Delivered int // messages that were handled to the end
	Again     int // deliveries of messages that their app had sent back
	Twice     int // deliveries of messages over which their app had died
	Late      int // of those, where the app was through and its client had not written it down

	Missing []string // what is still to come: a fault once nothing comes any more
	Waiting []uint64 // clients that have not caught up in this life
	Open    []uint64 // clients that have not ended in order
	Faults  []string // promises that were broken
}

// partner gives the user to whom a user writes: every two are a pair.
func partner(user uint64) uint64 { return (user - 1) ^ 1 + 1 }

// Judge reads the diaries in a folder.
func Judge(dir string, users int) (*Verdict, error) {
	stories := make(map[uint64]*story, users)
	for user := uint64(1); user <= uint64(users); user++ {
		lines, err := readDiary(dir, user)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("benchmark: %w", err)
		}
		stories[user] = tell(user, lines)
	}
	return judge(stories), nil
}

// judge compares what was sent with what was received.
func judge(stories map[uint64]*story) *Verdict {
	v := new(Verdict)
	for _, user := range slices.Sorted(maps.Keys(stories)) {
		s := stories[user]
		v.Faults = append(v.Faults, s.faults...)
		v.Lives += s.lives
		v.Taken += len(s.taken)
		v.Acked += len(s.acked)
		v.Delivered += len(s.done)
		v.Again += s.again
		v.Twice += s.twice
		v.Late += s.late
		if !s.caughtUp {
			v.Waiting = append(v.Waiting, user)
		}
		if !s.closed {
			v.Open = append(v.Open, user)
		}
		v.sent(s, stories[partner(user)])
	}
	return v
}

// sent compares what a client sent with what its partner received.
func (v *Verdict) sent(s, to *story) {
	owed := maps.Clone(s.taken)
	for id := range s.acked {
		if !owed[id] {
			v.Untold++
		}
		owed[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(owed)) {
		seq, told := s.acked[id]
		m := message{s.user, id}
		switch {
		case !s.offered[id]:
			v.Faults = append(v.Faults, fmt.Sprintf("user %d: message %d was never sent and has an outcome", s.user, id))
		case !told:
			v.Missing = append(v.Missing, fmt.Sprintf("user %d was never told what became of message %d, which was taken", s.user, id))
		case !to.done[m]:
			v.Missing = append(v.Missing, fmt.Sprintf("user %d did not get message %d of user %d, which has seq %d", to.user, id, s.user, seq))
		case to.seqs[m] != seq:
			v.Faults = append(v.Faults, fmt.Sprintf("user %d: message %d was acked at seq %d and received at seq %d", s.user, id, seq, to.seqs[m]))
		}
	}
	for m := range to.seqs {
		switch {
		case m.sender != s.user:
			v.Faults = append(v.Faults, fmt.Sprintf("user %d received message %d of user %d, who does not write to them", to.user, m.id, m.sender))
		case !s.offered[m.id]:
			v.Faults = append(v.Faults, fmt.Sprintf("user %d received message %d of user %d, who never sent it", to.user, m.id, m.sender))
		}
	}
}
