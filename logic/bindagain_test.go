package logic_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// again is a connection of a login that is to be bound under another epoch.
func again(user, device, number, epoch, conn, was uint64) hop.Rebinding {
	return hop.Rebinding{
		Binding: hop.Binding{Identity: hop.Identity{Gateway: epoch, Conn: conn, User: user, Device: device}, Platform: protocol.PlatformBot, Number: number},
		Was:     was,
	}
}

// kicks is a Gateways that tells of each.
type kicks chan kick

func (k kicks) Kick(_ context.Context, at hop.Address, code protocol.Code) error {
	k <- kick{at, code}
	return nil
}

// A connection that is bound again keeps the number of its login: under a new epoch it
// replaces itself, a later login replaces it, and it replaces an earlier one, which is
// closed.
func TestBindAgain(t *testing.T) {
	told := make(kicks, 10)
	r := newRig(t, func(c *logic.Config) { c.Gateways = told })
	mine := r.login(1, r.hello(42, 7))
	late := r.login(2, r.hello(42, 8))
	r.login(3, r.hello(42, 8)) // replaces the one before
	<-told
	early := r.login(4, r.hello(42, 9))
	lost, err := r.BindAgain(t.Context(), []hop.Rebinding{
		again(42, 7, mine.Number, 30, 1, 3),
		again(42, 8, late.Number, 30, 2, 3),
		again(42, 9, early.Number+1, 30, 4, 29), // another login than that of gateway 3, by chance on a connection of the same id
		again(43, 1, 9, 30, 5, 3),               // is in no directory any more
	})
	if err != nil || !slices.Equal(lost, []uint32{1}) {
		t.Fatalf("lost are %v, %v", lost, err)
	}
	at := map[uint64]hop.Address{}
	for _, d := range append(r.at(42), r.at(43)...) {
		at[d.Device] = d.At
	}
	want := map[uint64]hop.Address{7: {Gateway: 30, Conn: 1}, 8: {Gateway: 3, Conn: 3}, 9: {Gateway: 30, Conn: 4}, 1: {Gateway: 30, Conn: 5}}
	if !maps.Equal(at, want) {
		t.Errorf("the directory has %v, want %v", at, want)
	}
	if got := <-told; got != (kick{hop.Address{Gateway: 3, Conn: 4}, protocol.CodeReplaced}) {
		t.Errorf("kicked is %+v", got)
	}
	if len(told) != 0 {
		t.Errorf("kicked is also %+v", <-told)
	}
}

// What the directory does not answer is an error, and so is an answer that does not fit.
func TestBindAgainWithoutADirectory(t *testing.T) {
	for name, bind := range map[string]func(ctx context.Context, dst []directory.Bound) ([]directory.Bound, error){
		"away": func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) {
			return dst, errors.New("away")
		},
		"too few": func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) { return dst, nil },
		"too many": func(_ context.Context, dst []directory.Bound) ([]directory.Bound, error) {
			return make([]directory.Bound, 2), nil
		},
	} {
		r := newRig(t, func(c *logic.Config) { c.Directory = &directoryFuncs{Memory: directory.NewMemory(), bind: bind} })
		if lost, err := r.BindAgain(t.Context(), []hop.Rebinding{again(1, 1, 1, 3, 1, 3)}); err == nil || lost != nil {
			t.Errorf("%s: %v, %v", name, lost, err)
		}
		wantStat(t, r.Service, "failed.login", 1)
	}
}
