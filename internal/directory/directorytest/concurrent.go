package directorytest

import (
	"sync"
	"sync/atomic"

	"gannet/internal/directory"
)

func manyAtOnce(w *world) {
	const devices, logins = 20, 50
	var wg sync.WaitGroup
	for device := range uint64(devices) {
		wg.Go(func() {
			for conn := range uint64(logins) {
				numbers, err := w.d.Draw(w.t.Context(), []uint64{1}, nil)
				if err != nil {
					w.t.Error(err)
					return
				}
				b := bindOf(1, device+1, numbers[0], conn)
				bound, err := w.d.Bind(w.t.Context(), []directory.Bind{b}, nil)
				if err == nil && (len(bound) != 1 || bound[0] != (directory.Bound{})) {
					w.t.Errorf("device %d, alone: %+v", device+1, bound)
				}
				if err == nil && conn < logins-1 {
					err = w.d.Unbind(w.t.Context(), []directory.Bind{b})
				}
				if err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, got := w.lookUp(1, 0)
	for i, e := range got {
		if e != deviceOf(1, uint64(i+1), logins-1) {
			w.t.Errorf("device %d is %+v", i+1, e)
		}
	}
	if len(got) != devices {
		w.t.Errorf("%d devices, want %d", len(got), devices)
	}
}

// lookupSeesBinds: readers that keep versions, as caches do, never miss a bind that
// had returned before they asked.
func lookupSeesBinds(w *world) {
	const binds, readers = 400, 4
	var returned atomic.Uint64 // the connection of the last bind that returned
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			version, known := uint64(0), uint64(0)
			for known < binds {
				before := returned.Load()
				answers, devices, err := w.d.Devices(w.t.Context(), []directory.Lookup{{User: 1, Version: version}}, nil, nil)
				if err != nil || len(answers) != 1 {
					w.t.Errorf("%+v, %v", answers, err)
					return
				}
				if !answers[0].Same {
					if len(devices) > 0 {
						known = devices[0].At.Conn
					}
					version = answers[0].Version
				}
				if known < before {
					w.t.Errorf("a reader knows connection %d, and %d was bound before it asked", known, before)
					return
				}
			}
		})
	}
	for conn := uint64(1); conn <= binds; conn++ {
		w.bind(bindOf(1, 10, conn, conn))
		returned.Store(conn)
	}
	wg.Wait()
}

// manyLogins: one device logs in many times at once. Exactly one login, the latest, stays. Each
// other one is told that it lost, or is named by the bind that replaced it.
func manyLogins(w *world) {
	const logins = 200
	bound := make([]directory.Bound, logins+1)
	var highest atomic.Uint64
	numbers := make([]uint64, logins+1)
	var wg sync.WaitGroup
	for conn := uint64(1); conn <= logins; conn++ {
		wg.Go(func() {
			drawn, err := w.d.Draw(w.t.Context(), []uint64{1}, nil)
			if err != nil {
				w.t.Error(err)
				return
			}
			number := drawn[0]
			numbers[conn] = number
			got, err := w.d.Bind(w.t.Context(), []directory.Bind{bindOf(1, 10, number, conn)}, nil)
			if err != nil || len(got) != 1 {
				w.t.Errorf("%+v, %v", got, err)
				return
			}
			bound[conn] = got[0]
			for old := highest.Load(); old < number && !highest.CompareAndSwap(old, number); old = highest.Load() {
			}
		})
	}
	wg.Wait()
	closed := make(map[uint64]int)
	taken := make(map[uint64]bool)
	for conn := uint64(1); conn <= logins; conn++ {
		if taken[numbers[conn]] {
			w.t.Fatalf("number %d was drawn twice", numbers[conn])
		}
		taken[numbers[conn]] = true
		if bound[conn].Lost {
			closed[conn]++
		}
		if old := bound[conn].Replaced.Conn; old != 0 {
			closed[old]++
		}
	}
	_, devices := w.lookUp(1, 0)
	if len(devices) != 1 || numbers[devices[0].At.Conn] != highest.Load() {
		w.t.Fatalf("%+v stays, the highest number was %d", devices, highest.Load())
	}
	for conn := uint64(1); conn <= logins; conn++ {
		if want := conn != devices[0].At.Conn; (closed[conn] == 1) != want || closed[conn] > 1 {
			w.t.Fatalf("connection %d is to be closed %d times; %d stays", conn, closed[conn], devices[0].At.Conn)
		}
	}
}
