// Package directorytest holds the suite that every adapter of directory.Directory must pass.
package directorytest

import (
	"cmp"
	"slices"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
)

// Test tests a Directory; open gives an empty one.
func Test(t *testing.T, open func(t *testing.T) directory.Directory) {
	for _, s := range []struct {
		name  string
		story func(*world)
	}{
		{"numbers of a user rise", numbersRise},
		{"numbers for many at once", numbersForMany},
		{"every device of every user", everyDevice},
		{"a device has one address, that of the later login", laterLoginWins},
		{"the order of binds does not matter", anyOrder},
		{"a bind that comes again is no change", bindAgain},
		{"one gateway binds anew under another address", bindAnew},
		{"a bind of before comes late", bindLate},
		{"only what is there can be taken out", unbindWhatIsThere},
		{"several in one call", severalInOneCall},
		{"numbers of all sizes", allSizes},
		{"a user has no more devices than may be", noMoreThanMost},
		{"many devices of a user at once", manyDevices},
		{"answers come in order, behind what is there", answersInOrder},
		{"a version says whether anything changed", versionsTell},
		{"a user who left and came back is another", leftAndCameBack},
		{"versions are not counted", versionsAreRandom},
		{"many at once", manyAtOnce},
		{"a look-up sees every bind that returned", lookupSeesBinds},
		{"many logins of one device", manyLogins},
	} {
		t.Run(s.name, func(t *testing.T) { s.story(&world{t: t, d: open(t)}) })
	}
}

// world is a directory under test.
type world struct {
	t *testing.T
	d directory.Directory
}

func at(conn uint64) hop.Address { return hop.Address{Gateway: 9, Conn: conn} }

func bindOf(user, device, number, conn uint64) directory.Bind {
	return directory.Bind{User: user, Device: device, Platform: protocol.PlatformBot, Number: number, At: at(conn)}
}

func deviceOf(user, device, conn uint64) directory.Device {
	return directory.Device{User: user, Device: device, Platform: protocol.PlatformBot, At: at(conn)}
}

func (w *world) draw(user uint64) uint64 {
	w.t.Helper()
	numbers, err := w.d.Draw(w.t.Context(), []uint64{user}, nil)
	if err != nil || len(numbers) != 1 {
		w.t.Fatalf("drawn are %d, %v", numbers, err)
	}
	return numbers[0]
}

func (w *world) bind(binds ...directory.Bind) []directory.Bound {
	w.t.Helper()
	bound, err := w.d.Bind(w.t.Context(), binds, nil)
	if err != nil || len(bound) != len(binds) {
		w.t.Fatalf("%d results for %d binds: %v", len(bound), len(binds), err)
	}
	return bound
}

// wantBound binds one device and checks what became of it.
func (w *world) wantBound(b directory.Bind, want directory.Bound) {
	w.t.Helper()
	if got := w.bind(b)[0]; got != want {
		w.t.Fatalf("binding %+v came to %+v, want %+v", b, got, want)
	}
}

func (w *world) unbind(binds ...directory.Bind) {
	w.t.Helper()
	if err := w.d.Unbind(w.t.Context(), binds); err != nil {
		w.t.Fatal(err)
	}
}

// lookUp looks one user up and gives the answer, with the devices ordered by number.
func (w *world) lookUp(user, version uint64) (directory.Answer, []directory.Device) {
	w.t.Helper()
	answers, devices, err := w.d.Devices(w.t.Context(), []directory.Lookup{{User: user, Version: version}}, nil, nil)
	if err != nil || len(answers) != 1 {
		w.t.Fatalf("%d answers to one look-up: %v", len(answers), err)
	}
	a := answers[0]
	if a.Version == 0 || int(a.Devices.Start) != 0 || int(a.Devices.End) != len(devices) || a.Same && len(devices) != 0 {
		w.t.Fatalf("%+v with %d devices", a, len(devices))
	}
	return a, byDevice(devices)
}

func byDevice(devices []directory.Device) []directory.Device {
	slices.SortFunc(devices, func(a, b directory.Device) int { return cmp.Compare(a.Device, b.Device) })
	return devices
}

// want checks which devices a user has.
func (w *world) want(user uint64, want ...directory.Device) {
	w.t.Helper()
	if _, got := w.lookUp(user, 0); !slices.Equal(got, want) {
		w.t.Fatalf("user %d has %+v, want %+v", user, got, want)
	}
}

func numbersRise(w *world) {
	last := uint64(0)
	for range 100 {
		w.draw(7)
		n := w.draw(1)
		if n <= last {
			w.t.Fatalf("%d was drawn after %d", n, last)
		}
		last = n
	}
}

// numbersForMany: a user who is in a list twice gets two numbers, the second one higher. Later
// draws give higher numbers still.
func numbersForMany(w *world) {
	const rounds, users = 3, 1500 // more than one pipeline takes
	var last [users]uint64
	for range rounds {
		var list []uint64
		for user := range uint64(users) {
			list = append(list, user)
		}
		list = append(list, 7)
		numbers, err := w.d.Draw(w.t.Context(), list, []uint64{4711})
		if err != nil || len(numbers) != len(list)+1 || numbers[0] != 4711 {
			w.t.Fatalf("%d numbers for %d users behind one: %v", len(numbers), len(list), err)
		}
		for i, user := range list {
			if n := numbers[i+1]; n <= last[user] {
				w.t.Fatalf("user %d draws %d after %d", user, n, last[user])
			} else {
				last[user] = n
			}
		}
	}
	if numbers, err := w.d.Draw(w.t.Context(), nil, nil); err != nil || len(numbers) != 0 {
		w.t.Errorf("nobody draws %d, %v", numbers, err)
	}
}

func everyDevice(w *world) {
	w.want(1)
	w.bind(bindOf(1, 10, 1, 100))
	w.bind(bindOf(1, 11, 1, 101))
	w.bind(bindOf(2, 10, 1, 102))
	mobile := bindOf(3, 10, 1, 103)
	mobile.Platform, mobile.At.Gateway = protocol.PlatformMobile, 77
	w.bind(mobile)
	w.want(1, deviceOf(1, 10, 100), deviceOf(1, 11, 101))
	w.want(2, deviceOf(2, 10, 102))
	w.want(3, directory.Device{User: 3, Device: 10, Platform: protocol.PlatformMobile, At: hop.Address{Gateway: 77, Conn: 103}})
	w.want(4)
}

func laterLoginWins(w *world) {
	first, second := w.draw(1), w.draw(1)
	w.wantBound(bindOf(1, 10, first, 100), directory.Bound{})
	w.wantBound(bindOf(1, 10, second, 101), directory.Bound{Replaced: at(100)})
	w.want(1, deviceOf(1, 10, 101))
	w.wantBound(bindOf(1, 10, first, 100), directory.Bound{Lost: true}) // a gateway that wakes up
	w.wantBound(bindOf(1, 10, first, 102), directory.Bound{Lost: true})
	w.want(1, deviceOf(1, 10, 101))
	w.wantBound(bindOf(1, 11, first, 103), directory.Bound{}) // another device
	w.want(1, deviceOf(1, 10, 101), deviceOf(1, 11, 103))
}

func anyOrder(w *world) {
	numbers := []uint64{w.draw(1), w.draw(1), w.draw(1)}
	for i, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		device, highest := uint64(10+i), -1
		for _, n := range order {
			want := directory.Bound{Lost: n < highest}
			if n > highest && highest >= 0 {
				want.Replaced = at(uint64(highest) + 1)
			}
			w.wantBound(bindOf(1, device, numbers[n], uint64(n)+1), want)
			highest = max(highest, n)
		}
		if _, devices := w.lookUp(1, 0); devices[i] != deviceOf(1, device, 3) {
			w.t.Fatalf("bound in the order %v it is at %+v", order, devices[i])
		}
	}
}

func bindAgain(w *world) {
	b := bindOf(1, 10, w.draw(1), 100)
	w.wantBound(b, directory.Bound{})
	before, _ := w.lookUp(1, 0)
	w.wantBound(b, directory.Bound{})
	if after, _ := w.lookUp(1, before.Version); !after.Same || after.Version != before.Version {
		w.t.Fatalf("binding again changed %+v to %+v", before, after)
	}
	w.want(1, deviceOf(1, 10, 100))
}

// bindAnew: after a gateway took a new epoch its connections have other addresses and
// later logins win over them as before.
func bindAnew(w *world) {
	first := w.draw(1)
	second := w.draw(1)
	b := bindOf(1, 10, first, 100)
	w.bind(b)
	later := b
	later.Number = second
	w.wantBound(later, directory.Bound{}) // at the same address: nothing is to be closed
	w.want(1, deviceOf(1, 10, 100))
	w.wantBound(b, directory.Bound{Lost: true})
	w.unbind(b)
	w.want(1, deviceOf(1, 10, 100))
	w.unbind(later)
	w.want(1)
}

// bindLate: a connection is bound under two epochs of its gateway. The first of these binds may
// arrive again after the second, and so may the bind of an earlier login. Neither changes
// anything.
func bindLate(w *world) {
	old := bindOf(1, 10, w.draw(1), 99)
	first := bindOf(1, 10, w.draw(1), 100)
	w.bind(old)
	w.wantBound(first, directory.Bound{Replaced: old.At})
	second := first
	second.At.Gateway++
	w.wantBound(second, directory.Bound{Replaced: first.At})
	before, _ := w.lookUp(1, 0)
	w.wantBound(first, directory.Bound{})
	w.wantBound(old, directory.Bound{Lost: true})
	w.wantBound(second, directory.Bound{Replaced: first.At}) // asked again, as its answer was lost
	if after, _ := w.lookUp(1, before.Version); !after.Same {
		w.t.Fatal("the late binds changed something")
	}
	third := bindOf(1, 10, w.draw(1), 100) // another login, which happens to have the earlier address
	w.wantBound(third, directory.Bound{Replaced: second.At})
	w.want(1, deviceOf(1, 10, 100))
}

func unbindWhatIsThere(w *world) {
	first, second := bindOf(1, 10, w.draw(1), 100), bindOf(1, 10, w.draw(1), 101)
	w.unbind(first)
	w.bind(first)
	w.bind(second)
	w.unbind(first) // the connection that was replaced ends late
	w.want(1, deviceOf(1, 10, 101))
	for _, other := range []directory.Bind{
		bindOf(1, 10, first.Number, 101), bindOf(1, 10, second.Number, 100), bindOf(1, 11, second.Number, 101), bindOf(2, 10, second.Number, 101),
		{User: 1, Device: 10, Number: second.Number, At: hop.Address{Gateway: 8, Conn: 101}},
	} {
		w.unbind(other)
		w.want(1, deviceOf(1, 10, 101))
	}
	w.unbind(second)
	w.unbind(second)
	w.want(1)
}

func severalInOneCall(w *world) {
	bound := w.bind(bindOf(1, 10, 5, 100), bindOf(2, 10, 5, 101), bindOf(1, 10, 6, 102), bindOf(1, 10, 4, 103), bindOf(1, 11, 5, 104))
	want := []directory.Bound{{}, {}, {Replaced: at(100)}, {Lost: true}, {}}
	if !slices.Equal(bound, want) {
		w.t.Fatalf("%+v, want %+v", bound, want)
	}
	w.want(1, deviceOf(1, 10, 102), deviceOf(1, 11, 104))
	w.unbind(bindOf(1, 10, 5, 100), bindOf(2, 10, 5, 101), bindOf(3, 1, 1, 1), bindOf(1, 11, 5, 104))
	w.want(1, deviceOf(1, 10, 102))
	w.want(2)
	if bound := w.bind(); len(bound) != 0 {
		w.t.Fatalf("no bind gave %+v", bound)
	}
	w.unbind()
}

func answersInOrder(w *world) {
	w.bind(bindOf(1, 10, 1, 100), bindOf(1, 11, 1, 101), bindOf(2, 10, 1, 102))
	known, _ := w.lookUp(2, 0)
	bound, err := w.d.Bind(w.t.Context(), []directory.Bind{bindOf(3, 1, 1, 103)}, []directory.Bound{{Lost: true}})
	if err != nil || !slices.Equal(bound, []directory.Bound{{Lost: true}, {}}) {
		w.t.Fatalf("%+v, %v", bound, err)
	}
	earlier, old := directory.Answer{Version: 99}, deviceOf(88, 88, 88)
	answers, devices, err := w.d.Devices(w.t.Context(), []directory.Lookup{{User: 3}, {User: 2, Version: known.Version}, {User: 4}, {User: 1}, {User: 3}},
		[]directory.Answer{earlier}, []directory.Device{old})
	if err != nil || len(answers) != 6 || answers[0] != earlier || devices[0] != old {
		w.t.Fatalf("%+v, %+v, %v", answers, devices, err)
	}
	for i, want := range [][]directory.Device{{deviceOf(3, 1, 103)}, nil, nil, {deviceOf(1, 10, 100), deviceOf(1, 11, 101)}, {deviceOf(3, 1, 103)}} {
		a := answers[i+1]
		if got := byDevice(slices.Clone(devices[a.Devices.Start:a.Devices.End])); !slices.Equal(got, want) || a.Same != (i == 1) || a.Version == 0 {
			w.t.Fatalf("answer %d is %+v with %+v, want %+v", i, a, got, want)
		}
	}
}
