package benchmark

import (
	"context"
	"testing"
	"time"
)

func TestScheduleCountsWhatIsDue(t *testing.T) {
	cases := []struct {
		rate uint64
		now  time.Duration
		want uint64
	}{
		{1, -1, 0},
		{1, 0, 1},
		{1, time.Second - 1, 1},
		{1, time.Second, 2},
		{1000, time.Millisecond, 2},
		{3, 333333332, 1},
		{3, 333333333, 2}, // a third of a second, rounded down
		{250_000, time.Second, 250_001},
		{250_000, time.Hour, 900_000_001},
	}
	for _, tc := range cases {
		if got := (schedule{tc.rate}).due(int64(tc.now)); got != tc.want {
			t.Errorf("at %d/s, %v: %d due, want %d", tc.rate, tc.now, got, tc.want)
		}
	}
}

func TestScheduleTimesAndCountsAgree(t *testing.T) {
	for _, rate := range []uint64{1, 3, 7, 999, 40_000, 250_000, 999_983} {
		s := schedule{rate}
		for _, k := range []uint64{0, 1, 2, 6, 7, 1000, 123_456, 99_999_999} {
			at := s.at(k)
			if got := s.due(at); got != k+1 {
				t.Errorf("at %d/s: %d due when message %d is, want %d", rate, got, k, k+1)
			}
			if got := s.due(at - 1); got != k {
				t.Errorf("at %d/s: %d due just before message %d is, want %d", rate, got, k, k)
			}
		}
	}
}

func TestScheduleSendsEveryMessageOnceInOrderAndNeverEarly(t *testing.T) {
	s, c := schedule{5000}, clock{time.Now()}
	const end = int64(50 * time.Millisecond)
	next := uint64(0)
	s.run(context.Background(), c, end, func(k uint64, due int64) {
		if k != next {
			t.Fatalf("message %d sent, want %d", k, next)
		}
		if due != s.at(k) {
			t.Errorf("message %d is due at %d, was told %d", k, s.at(k), due)
		}
		if now := c.now(); now < due {
			t.Errorf("message %d sent %v early", k, time.Duration(due-now))
		}
		next++
	})
	if next != 250 {
		t.Errorf("%d messages in 50 ms at 5000/s, want 250", next)
	}
}

func TestScheduleCatchesUpAfterAStall(t *testing.T) {
	s, c := schedule{1000}, clock{time.Now().Add(-time.Second)}
	sent := 0
	s.run(context.Background(), c, int64(time.Second), func(k uint64, due int64) {
		if want := int64(k) * int64(time.Millisecond); due != want {
			t.Fatalf("message %d is due at %d, want its place in the timetable, %d", k, due, want)
		}
		sent++
	})
	if sent != 1000 {
		t.Errorf("%d messages sent, want all 1000 that were due", sent)
	}
}

func TestScheduleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sent := 0
	schedule{1000}.run(ctx, clock{time.Now()}, int64(time.Hour), func(uint64, int64) {
		sent++
		cancel()
	})
	if sent != 1 {
		t.Errorf("%d messages sent after the context ended with the first", sent)
	}
}
