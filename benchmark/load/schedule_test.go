package load

import (
	"slices"
	"testing"
	"time"
)

// sent gives the messages that a share sends when it looks at these moments.
func (s *share) sent(end int64, moments ...int64) (messages []uint64, dues []int64, next int64) {
	for _, now := range moments {
		next = s.sendDue(now, end, func(k uint64, due int64) {
			messages, dues = append(messages, k), append(dues, due)
		})
	}
	return messages, dues, next
}

func TestAScheduleSendsEveryMessageOnceInOrderAndNeverEarly(t *testing.T) {
	for _, rate := range []uint64{1, 3, 7, 999, 40_000, 250_000, 999_983} {
		s := share{schedule: schedule{rate: rate, users: 10}, of: 1}
		const end = int64(2 * time.Second)
		want := uint64(0)
		for now := int64(0); now < end; now += int64(time.Millisecond) {
			next := s.sendDue(now, end, func(k uint64, due int64) {
				if k != want {
					t.Fatalf("at %d/s: message %d sent, want %d", rate, k, want)
				}
				if due > now || due != int64(k*uint64(time.Second)/rate) {
					t.Fatalf("at %d/s: message %d is due at %d, sent at %d", rate, k, due, now)
				}
				want++
			})
			if next <= now {
				t.Fatalf("at %d/s: after %d the next is due at %d", rate, now, next)
			}
		}
		if s.sendDue(end, end, func(uint64, int64) { want++ }); want != 2*rate {
			t.Errorf("%d messages in two seconds at %d/s", want, rate)
		}
	}
}

// The messages that begin a ring's conversations come fast, and then all at the rate.
func TestAScheduleBeginsFast(t *testing.T) {
	s := schedule{rate: 100, users: 10, first: 2 * beginRate}
	for k, want := range map[uint64]time.Duration{
		0: 0, beginRate: time.Second, 2 * beginRate: 2 * time.Second, 2*beginRate + 1: 2*time.Second + 10*time.Millisecond, 2*beginRate + 300: 5 * time.Second,
	} {
		if due := time.Duration(s.at(k)); due != want {
			t.Errorf("message %d is due after %v, want %v", k, due, want)
		}
	}
}

func TestAScheduleCatchesUpAfterAStall(t *testing.T) {
	s := share{schedule: schedule{rate: 1000, users: 3}, of: 1}
	messages, dues, next := s.sent(int64(time.Hour), int64(time.Second))
	if len(messages) != 1001 || dues[500] != int64(500*time.Millisecond) || next != int64(1001*time.Millisecond) {
		t.Errorf("%d messages after a second at 1000/s, that of the middle due at %d, the next at %d", len(messages), dues[500], next)
	}
}

func TestSharesTogetherAreTheWholeSchedule(t *testing.T) {
	for _, users := range []uint64{1, 2, 7, 12} {
		for of := uint64(1); of <= min(users, 4); of++ {
			var all []uint64
			for index := range of {
				s := share{schedule: schedule{rate: 1000, users: users}, index: index, of: of}
				messages, _, _ := s.sent(int64(time.Second), int64(time.Second))
				for _, k := range messages {
					if k%users%of != index {
						t.Errorf("of %d users, share %d of %d sends message %d", users, index, of, k)
					}
				}
				if !slices.IsSorted(messages) {
					t.Errorf("of %d users, share %d of %d is out of order: %v", users, index, of, messages[:10])
				}
				all = append(all, messages...)
			}
			slices.Sort(all)
			if len(all) != 1000 || all[0] != 0 || all[999] != 999 || len(slices.Compact(all)) != 1000 {
				t.Errorf("%d users in %d shares send %d messages of 1000", users, of, len(all))
			}
		}
	}
}
