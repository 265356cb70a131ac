package directorytest

// versionsTell: the version of a user stays the same as long as nothing changes, and changes with
// every change.
func versionsTell(w *world) {
	first, second := bindOf(1, 10, w.draw(1), 100), bindOf(1, 11, w.draw(1), 101)
	seen := make(map[uint64]string) // versions with devices
	check := func(step string, changed bool, user, version uint64, devices int) uint64 {
		w.t.Helper()
		if a, _ := w.lookUp(user, version); a.Same == changed || !changed && a.Version != version {
			w.t.Fatalf("%s: asked with version %d, the answer is %+v", step, version, a)
		}
		a, found := w.lookUp(user, 0)
		if a.Same || len(found) != devices {
			w.t.Fatalf("%s: asked without a version, the answer is %+v with %+v", step, a, found)
		}
		if again, _ := w.lookUp(user, a.Version); !again.Same {
			w.t.Fatalf("%s: version %d is not that of its answer", step, a.Version)
		}
		if before, twice := seen[a.Version]; twice && changed {
			w.t.Fatalf("%s: version %d was that of %s", step, a.Version, before)
		}
		seen[a.Version] = step
		return a.Version
	}
	nobody, _ := w.lookUp(1, 0)
	v := check("nobody yet", false, 1, nobody.Version, 0)
	w.bind(first)
	v = check("a device", true, 1, v, 1)
	w.bind(first)
	v = check("the same once more", false, 1, v, 1)
	w.bind(second)
	v = check("another device", true, 1, v, 2)
	w.bind(bindOf(2, 10, 1, 102))
	v = check("a device of another user", false, 1, v, 2)
	later := first
	later.Number, later.At.Conn = w.draw(1), 103
	w.bind(later)
	v = check("a later login", true, 1, v, 2)
	w.bind(first)
	w.unbind(first)
	v = check("an earlier login, which lost", false, 1, v, 2)
	w.unbind(later)
	v = check("one left", true, 1, v, 1)
	w.bind(later)
	v = check("and came back", true, 1, v, 2)
	w.unbind(later, second)
	if a, _ := w.lookUp(1, v); a.Same {
		w.t.Fatal("all left, and nothing is said to have changed")
	}
	w.want(1)
}

// leftAndCameBack: a device leaves and comes back. A reader must not take the old devices for
// current.
func leftAndCameBack(w *world) {
	seen := make(map[uint64]bool)
	for range 200 {
		b := bindOf(1, 10, w.draw(1), 100)
		w.bind(b)
		a, _ := w.lookUp(1, 0)
		if seen[a.Version] {
			w.t.Fatalf("version %d came again", a.Version)
		}
		seen[a.Version] = true
		w.unbind(b)
		if gone, _ := w.lookUp(1, a.Version); gone.Same || seen[gone.Version] {
			w.t.Fatalf("the user left, and the answer is %+v", gone)
		}
	}
}

// versionsAreRandom: a directory that lost its data must not give a version again under which
// readers know something else. So versions are random and not counted up.
func versionsAreRandom(w *world) {
	low := 0
	for user := uint64(1); user <= 64; user++ {
		w.bind(bindOf(user, 10, 1, 100))
		a, _ := w.lookUp(user, 0)
		b, _ := w.lookUp(user+1000, 0) // never had a device
		for _, version := range []uint64{a.Version, b.Version} {
			if version < 1<<48 {
				low++
			}
		}
	}
	if low > 1 { // one in 65,536 is by chance
		w.t.Fatalf("%d of 128 versions are low numbers", low)
	}
}
