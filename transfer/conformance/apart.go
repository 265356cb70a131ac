package conformance

import (
	"errors"
	"testing"

	"gannet/internal/hop"
	"gannet/transfer"
)

// Fleet is two gateways that are processes of their own, as an adapter of
// transfer.Gateways reaches them.
type Fleet struct {
	Gateways transfer.Gateways
	Epochs   [2]uint64

	// Connect logs a device of the user in at one of them.
	Connect func(gateway int, user uint64) Device

	// Hang has the first gateway answer nothing until release is called; standing is sent
	// to for each push that waits there.
	Hang func() (standing <-chan struct{}, release func())

	// End ends the registration of one of them.
	End func(gateway int)
}

// Apart holds an adapter of transfer.Gateways to what it guarantees where a gateway may
// hang, which one of its own process cannot.
func Apart(t *testing.T, open func(t *testing.T) Fleet) {
	for _, c := range []struct {
		name string
		test func(w *pushing, f Fleet)
	}{
		{"a gateway that hangs delays no push to another", hangingDelaysNobody},
		{"the registration ends while a gateway hangs", endsWhileHanging},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			w := &pushing{t: t, Site: Site{Gateways: f.Gateways, Epoch: f.Epochs[1]}}
			c.test(w, f)
			w.wantOnce()
		})
	}
}

func hangingDelaysNobody(w *pushing, f Fleet) {
	hangs, good := f.Connect(0, 2), f.Connect(1, 3)
	standing, release := f.Hang()
	came := w.begin(f.Epochs[0], to(pushed(2, 1, 20), hangs.Conn()))
	<-standing
	const n = 50
	for seq := uint64(1); seq <= n; seq++ {
		w.push(to(pushed(3, seq, 20), good.Conn()))
		w.wantNext(good, pushed(3, seq, 20))
	}
	if o := w.ended(came); o.within || o.err == nil || errors.Is(o.err, transfer.ErrEnded) || errors.Is(o.err, transfer.ErrRefused) {
		w.t.Fatalf("the push to the gateway that hangs came to %v; before Push returned: %v", o.err, o.within)
	}
	release()
	w.Epoch = f.Epochs[0]
	w.push(to(pushed(2, 1, 20), hangs.Conn()))
	w.wantNext(hangs, pushed(2, 1, 20))
}

func endsWhileHanging(w *pushing, f Fleet) {
	standing, release := f.Hang()
	defer release()
	came := w.begin(f.Epochs[0], &hop.Push{Everything: true})
	<-standing
	f.End(0)
	if o := w.ended(came); !errors.Is(o.err, transfer.ErrEnded) {
		w.t.Fatalf("it came to %v", o.err)
	}
	w.push(&hop.Push{Everything: true})
}
