package directorytest

import (
	"slices"
	"sync"
	"sync/atomic"

	"gannet/internal/directory"
)

func mostOf(most int, b directory.Bind) directory.Bind {
	b.Most = most
	return b
}

// noMoreThanMost: only a device that is not bound yet is refused, and only while the user has too
// many others.
func noMoreThanMost(w *world) {
	first := bindOf(1, 10, w.draw(1), 100)
	w.wantBound(mostOf(2, first), directory.Bound{})
	w.wantBound(mostOf(2, bindOf(1, 11, w.draw(1), 101)), directory.Bound{})
	before, _ := w.lookUp(1, 0)
	w.wantBound(mostOf(2, bindOf(1, 12, w.draw(1), 102)), directory.Bound{Full: true})
	w.wantBound(mostOf(1, bindOf(1, 12, w.draw(1), 102)), directory.Bound{Full: true})
	if after, _ := w.lookUp(1, before.Version); !after.Same {
		w.t.Fatal("a device that was refused changed the version")
	}
	w.want(1, deviceOf(1, 10, 100), deviceOf(1, 11, 101))
	w.wantBound(mostOf(2, bindOf(2, 12, w.draw(2), 103)), directory.Bound{}) // another user

	again := bindOf(1, 10, w.draw(1), 104)
	w.wantBound(mostOf(1, again), directory.Bound{Replaced: at(100)}) // it is there
	w.wantBound(mostOf(2, first), directory.Bound{Lost: true})
	w.unbind(first) // this frees no place
	w.wantBound(mostOf(2, bindOf(1, 12, w.draw(1), 102)), directory.Bound{Full: true})
	w.unbind(again)
	w.wantBound(mostOf(2, bindOf(1, 12, w.draw(1), 105)), directory.Bound{})
	w.want(1, deviceOf(1, 11, 101), deviceOf(1, 12, 105))
	w.wantBound(bindOf(1, 13, w.draw(1), 106), directory.Bound{}) // no limit

	many := []directory.Bind{mostOf(2, bindOf(5, 1, 1, 1)), mostOf(2, bindOf(5, 2, 1, 2)), mostOf(2, bindOf(5, 3, 1, 3)), mostOf(2, bindOf(5, 1, 2, 4))}
	want := []directory.Bound{{}, {}, {Full: true}, {Replaced: at(1)}}
	if got := w.bind(many...); !slices.Equal(got, want) {
		w.t.Fatalf("in one call they came to %+v, want %+v", got, want)
	}
}

// manyDevices: many devices log in at the same time, and exactly as many get in as are allowed.
func manyDevices(w *world) {
	const devices, most = 100, 7
	var in atomic.Int64
	var wg sync.WaitGroup
	for device := uint64(1); device <= devices; device++ {
		wg.Go(func() {
			bound, err := w.d.Bind(w.t.Context(), []directory.Bind{mostOf(most, bindOf(1, device, device, device))}, nil)
			if err != nil || len(bound) != 1 {
				w.t.Errorf("%+v, %v", bound, err)
				return
			}
			if !bound[0].Full {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if _, got := w.lookUp(1, 0); len(got) != most || in.Load() != most {
		w.t.Fatalf("%d devices are there, %d were told so; %d may be", len(got), in.Load(), most)
	}
}
