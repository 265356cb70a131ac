package embedded

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

const hour = 3_600_000 // milliseconds

// syncSince gives the peers of user 1 in whose conversations something changed.
func syncSince(t *testing.T, s *Store, since uint64) (peers map[uint64]bool, next uint64) {
	t.Helper()
	page, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 9, Since: since, Limit: protocol.MaxPage, Room: protocol.MaxFrame})
	if err != nil || page.More {
		t.Fatalf("%+v, %v", page, err)
	}
	peers = make(map[uint64]bool)
	for _, state := range page.States {
		peers[state.Target.ID] = true
	}
	return peers, page.Next
}

// TestClockTurnsBackAndForth: a machine boots an hour before its time, and its clock is
// set right, and further, while the store runs. SYNC hides nothing, times do not fall,
// retries are known, and acks are written.
func TestClockTurnsBackAndForth(t *testing.T) {
	clock, disk := newClock(), vfs.NewCrashableMem()
	open := func() *Store { return mustOpen(t, Options{Queues: 2, FS: disk, Now: clock.now}) }
	s := open()
	var sent []logic.Entry // to user 2
	since := uint64(0)
	turn := func(name string, peer uint64) {
		t.Helper()
		e := mustSend(t, s, 1, 1, 2, uint64(len(sent)+1))
		if n := len(sent); e.Seq != uint64(n+1) || n > 0 && e.Time < sent[n-1].Time {
			t.Fatalf("%s: message %d came to %+v, after %+v", name, n+1, e, sent)
		}
		sent = append(sent, e)
		mustSend(t, s, peer, 1, 1, 1)
		peers, next := syncSince(t, s, since)
		if !peers[2] || !peers[peer] {
			t.Fatalf("%s: SYNC since %d tells of %v, want 2 and %d", name, since, peers, peer)
		}
		if since = next; len(sent) > 1 {
			if peers, _ = syncSince(t, s, since); len(peers) > 2 {
				t.Fatalf("%s: SYNC since %d, where nothing happened, tells of %v", name, since, peers)
			}
		}
		for _, first := range sent {
			if e := mustSend(t, s, 1, 1, 2, first.ClientID); e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time {
				t.Fatalf("%s: the retry of %+v came to %+v", name, first, e)
			}
		}
		new(entries).ack(2, 7, 1, e.Seq).mustApply(t, s)
		clock.ms.Add(1000) // the acks' second is over
		eventually(t, name+": the ack is on the disk", func() bool {
			left := mustOpen(t, Options{Queues: 2, FS: disk.CrashClone(vfs.CrashCloneCfg{}), Now: clock.now})
			return stateOf(t, left, 2, 7, 1).Acked == e.Seq
		})
	}
	turn("at first", 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	clock.ms.Add(-hour)
	s = open()
	turn("an hour back over a restart", 4)
	clock.ms.Add(2 * hour)
	turn("two hours forward while it runs", 5)
	clock.ms.Add(-2 * hour)
	turn("two hours back while it runs", 6)
	clock.ms.Add(3 * hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	turn("three hours forward over a restart", 7)
}

// TestClockSetBackWritesAcks: an ack waits for its second when the clock is set back, and
// then stands still.
func TestClockSetBackWritesAcks(t *testing.T) {
	clock, disk := newClock(), vfs.NewCrashableMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk, Now: clock.now})
	mustSend(t, s, 1, 1, 2, 1)
	new(entries).ack(2, 7, 1, 1).mustApply(t, s)
	clock.ms.Add(-hour)
	eventually(t, "the ack is on the disk", func() bool {
		left := mustOpen(t, Options{Queues: 1, FS: disk.CrashClone(vfs.CrashCloneCfg{}), Now: clock.now})
		return stateOf(t, left, 2, 7, 1).Acked == 1
	})
}

// TestClockLeapMakesNoBusyDeviceLeave: a clock that leaps over a day makes all devices
// look as if they had been silent for that long. The one that stayed behind makes room,
// and those that keep up are known still.
func TestClockLeapMakesNoBusyDeviceLeave(t *testing.T) {
	clock, disk := newClock(), vfs.NewMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk, Now: clock.now, Devices: 3})
	mustSend(t, s, 1, 1, 2, 1) // an old telephone
	for id := uint64(1); id <= 100; id++ {
		mustSend(t, s, 1, 2+id%2, 2, id)
	}
	if e := mustSend(t, s, 1, 4, 2, 1); e.Code != protocol.CodeTooManyDevices {
		t.Fatalf("a fourth device came to %+v", e)
	}
	clock.ms.Add(25 * hour)
	fresh := mustSend(t, s, 1, 4, 2, 1)
	if fresh.Outcome != logic.Applied {
		t.Fatalf("a day later a fourth device came to %+v", fresh)
	}
	clock.ms.Add(-25 * hour)
	for range 2 {
		for id := uint64(99); id <= 100; id++ {
			if e := mustSend(t, s, 1, 2+id%2, 2, id); e.Outcome != logic.Repeated || e.Seq != id+1 {
				t.Fatalf("the retry of a device that keeps up came to %+v", e)
			}
		}
		if e := mustSend(t, s, 1, 4, 2, 1); e.Outcome != logic.Repeated || e.Seq != fresh.Seq {
			t.Fatalf("the retry of the new device came to %+v", e)
		}
		if e := mustSend(t, s, 1, 5, 2, 1); e.Code != protocol.CodeTooManyDevices {
			t.Fatalf("a fifth device came to %+v", e)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, Options{Queues: 1, FS: disk, Now: clock.now, Devices: 3})
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
	}
}
