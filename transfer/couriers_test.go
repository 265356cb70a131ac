package transfer_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gannet/transfer"
)

// Several queues push to one gateway at the same time: it has one push under way,
// nobody touches a push that it reads, each conversation stays in order, and nothing
// is lost or comes twice.
func TestManyQueuesOneGateway(t *testing.T) {
	const (
		queues  = 8
		records = transfer.CourierParcels / queues // in a round: all of them may wait
		rounds  = 6
	)
	for name, away := range map[string]bool{"answers at once": false, "answers later": true} {
		t.Run(name, func(t *testing.T) {
			// Time does not pass while a goroutine can run, so no push is given up.
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, queues, nil)
				for i := range uint64(queues) {
					s.device(20+i, 10, 7, 120+i)
				}
				var underWay, clashes atomic.Int32
				s.gateways.is(7, func(a *attempt) {
					if underWay.Add(1) != 1 {
						clashes.Add(1)
					}
					take := func() {
						a.take()
						underWay.Add(-1)
						a.done(nil, nil)
					}
					if away {
						go take()
					} else {
						take()
					}
				})
				var done sync.WaitGroup
				s.queue.onDone = func(uint64) { done.Done() }
				for round := range rounds {
					done.Add(queues * records)
					for n := range queues {
						go func() {
							for i := range records {
								i += round * records
								s.queue.feeds[n] <- record(n, uint64(n*records*rounds+i+1), message(1, 10, 20+uint64(n), fmt.Sprint(i)))
							}
						}()
					}
					if !within(time.Minute, done.Wait) {
						t.Fatal("not every record is done after a minute")
					}
				}
				s.queue.mark = queues * records * rounds
				s.queue.allDone(t)
				s.stat("drop.everything", 0)
				for i := range uint64(queues) {
					s.got(7, 120+i, numbered(0, records*rounds)...)
				}
				if n := clashes.Load(); n != 0 {
					t.Errorf("%d pushes began while another was under way", n)
				}
			})
		})
	}
}

// within says whether f returned in time.
func within(patience time.Duration, f func()) bool {
	over := make(chan struct{})
	go func() {
		f()
		close(over)
	}()
	select {
	case <-over:
		return true
	case <-time.After(patience):
		return false
	}
}

// TestQueueIsLetGo has other queues leave more for a gateway than one turn of whoever
// pushes: the queue that began goes on with its own records meanwhile.
func TestQueueIsLetGo(t *testing.T) {
	s := newScene(t, 2, nil)
	s.device(2, 10, 7, 102)
	const left = 20
	var pushes atomic.Int32
	release := make(chan struct{})
	s.gateways.is(7, func(a *attempt) {
		switch n := pushes.Add(1); {
		case n == 1:
			for i := range uint64(left) { // one more than has to be taken
				s.queue.feeds[1] <- record(1, 1+i, message(1, 10, 2, "of others"))
			}
		case n > left/2:
			<-release
		}
		a.take()
		a.done(nil, nil)
	})
	defer close(release)
	s.queue.feeds[0] <- record(0, 1, message(1, 10, 2, "first"))
	select {
	case s.queue.feeds[0] <- record(0, 2, message(1, 10, 2, "second")):
	case <-time.After(10 * time.Second):
		t.Fatal("a queue pushes for all others and stands still")
	}
}
