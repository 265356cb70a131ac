package load

import (
	"testing"
	"time"
)

func TestSilenceIsSeen(t *testing.T) {
	const ms, second = int64(time.Millisecond), int64(time.Second)
	every := func(from, to, step int64) (acks []int64) {
		for at := from; at < to; at += step {
			acks = append(acks, at)
		}
		return acks
	}
	for _, tc := range []struct {
		name string
		acks []int64 // on the clock of a run from 10 s to 15 s
		end  int64
		want Silence
	}{
		{"an ack in each millisecond", every(10*second, 15*second, ms), 15 * second, Silence{}},
		{"every 100 ms", every(10*second, 15*second, 100*ms), 15 * second, Silence{99 * time.Millisecond, 0}},
		{"no ack at all", nil, 15 * second, Silence{5 * time.Second, 5}},
		{"outside of the run only", []int64{0, 10*second - 1, 15 * second, 16 * second}, 15 * second, Silence{5 * time.Second, 5}},
		{"at its two ends only", []int64{10 * second, 15*second - 1}, 15 * second, Silence{4998 * time.Millisecond, 3}},
		{"silent for 1.9 s, but in no whole second", append(every(10*second, 11*second+50*ms, ms), every(12*second+950*ms, 15*second, ms)...), 15 * second,
			Silence{1900 * time.Millisecond, 0}},
		{"silent from 12 s to 14 s", append(every(10*second, 12*second, ms), every(14*second, 15*second, ms)...), 15 * second, Silence{2 * time.Second, 2}},
		{"stopped after 1.5 s, before an ack", []int64{14 * second}, 11*second + 500*ms, Silence{1500 * time.Millisecond, 1}},
		{"stopped in the warm-up", nil, 9 * second, Silence{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGaps(10*second, 15*second)
			for _, at := range tc.acks {
				g.add(at)
			}
			if got := g.until(tc.end); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestEveryAckEndsASilence(t *testing.T) {
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.Start(0, time.Minute)
	for _, u := range l.users {
		u.sent = 1
		u.onDone(1, 1, nil)
	}
	notes := 0
	for i := range l.gaps.slots {
		if l.gaps.slots[i].Load() {
			notes++
		}
	}
	if notes < 1 || notes > 2 {
		t.Errorf("%d milliseconds have an ack, of two acks", notes)
	}
}
