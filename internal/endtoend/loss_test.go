package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// A server whose write-ahead log is gone does not start, says what is missing, and
// goes on with the flag that it names: above every seq that it had given out, and
// clients who were there before get all that comes. The flag is worth nothing for the
// next loss.
func TestLostLog(t *testing.T) {
	data, address := t.TempDir(), servicestest.FreeAddress(t)
	d := serve(t, data, address)
	got := make(chan gannet.Message, 100)
	one := joinLoss(t, d, 1, func(gannet.Message) {})
	two := joinLoss(t, d, 2, func(m gannet.Message) { got <- m })
	say := func(n int) gannet.Ack {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ack, err := one.Send(ctx, gannet.User(2), gannet.Text(fmt.Sprint("message ", n)))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-got:
			if m.Seq != ack.Seq || string(m.Body) != fmt.Sprint("message ", n) {
				t.Fatalf("message %d, which is seq %d, came as %q with seq %d", n, ack.Seq, m.Body, m.Seq)
			}
		case <-time.After(patience):
			t.Fatalf("message %d did not come", n)
		}
		return ack
	}
	const before = 20
	for n := 1; n <= before; n++ {
		if n == before/2 { // what is older lies in tables, which a start makes
			d.stop()
			d = serve(t, data, address)
		}
		if ack := say(n); ack.Seq != uint64(n) {
			t.Fatalf("message %d is seq %d", n, ack.Seq)
		}
	}
	d.stop()

	loseLogs(t, data)
	flag := refusedForLoss(t, data, address)
	d = serve(t, data, address, flag)
	// Who asks byte by byte is told of the hole before the message.
	raw := loginRaw(t, d.address, data, 2, 99)
	first := say(before + 1)
	if first.Seq <= before {
		t.Fatalf("the first message after the loss is seq %d, which was given out before", first.Seq)
	}
	var hole protocol.Range
	if f := pastReceipts(raw); f.Type != protocol.TypeHole || hole.Decode(f.Payload) != nil || hole.Target.ID != 1 || hole.First > before+1 || hole.Last != first.Seq-1 {
		t.Errorf("first came %v, %+v; want a HOLE up to %d", f.Type, hole, first.Seq-1)
	}
	var push protocol.Message
	if f := pastReceipts(raw); f.Type != protocol.TypePush || push.Decode(f.Payload) != nil || push.Seq != first.Seq {
		t.Errorf("then came %v, %+v; want the PUSH of %d", f.Type, push, first.Seq)
	}
	if ack := say(before + 2); ack.Seq != first.Seq+1 {
		t.Errorf("the next message is seq %d, want %d", ack.Seq, first.Seq+1)
	}
	var seqs []uint64
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for m, err := range two.History(ctx, gannet.User(1), gannet.After(0)) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
	}
	if slices.Sort(seqs); len(seqs) < 2 || !slices.Equal(seqs[len(seqs)-2:], []uint64{first.Seq, first.Seq + 1}) {
		t.Errorf("history has %v, want it to end with %d and %d", seqs, first.Seq, first.Seq+1)
	}
	d.stop()
	if out := d.out.String(); !strings.Contains(out, "given up for good") {
		t.Errorf("it does not say what is given up:\n%s", out)
	}

	// What was mended is a store like any other; the flag does not hide the next loss.
	d = serve(t, data, address)
	if ack := say(before + 3); ack.Seq != first.Seq+2 {
		t.Errorf("after a restart the next message is seq %d, want %d", ack.Seq, first.Seq+2)
	}
	d.stop()
	loseLogs(t, data)
	if next := refusedForLoss(t, data, address, flag); next == flag {
		t.Errorf("the second loss has the flag %s as well", flag)
	}
}

// pastReceipts gives the next frame that is no RECEIPT: those come when they like.
func pastReceipts(p *rawClient) protocol.Frame {
	p.t.Helper()
	for {
		if f := p.next(); f.Type != protocol.TypeReceipt {
			return f
		}
	}
}

// joinLoss logs a user in who keeps what it has.
func joinLoss(t *testing.T, d *daemon, user uint64, message func(gannet.Message)) *gannet.Client {
	t.Helper()
	store, err := gannet.NewFileStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := gannet.Dial(ctx, d.address, sign(t, d.data, user), gannet.WithStore(store),
		gannet.WithBackoff(20*time.Millisecond, 200*time.Millisecond), gannet.WithHandler(gannet.Handler{
			Message: func(_ context.Context, _ *gannet.Client, m gannet.Message) error {
				message(m)
				return nil
			},
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = client.Close(ctx) // the server may be gone
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// loseLogs deletes the write-ahead log of a server that is down.
func loseLogs(t *testing.T, data string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, "db", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, path := range logs {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// refusedForLoss starts a server that must not start, twice, and gives the flag that
// would let it.
func refusedForLoss(t *testing.T, data, address string, flags ...string) (flag string) {
	t.Helper()
	for range 2 {
		stdout, stderr, err := run(t, append([]string{"--data", data, "--listen", address}, flags...)...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(stdout, "listens") {
			t.Fatalf("ended with %v, want exit status 1:\n%s", err, stdout)
		}
		for _, want := range []string{filepath.Join(data, "db"), "behind what it had reached at 20", "nothing was changed", "restore a backup"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q is not in:\n%s", want, stderr)
			}
		}
		found := regexp.MustCompile(`--give-up-lost-messages=[0-9a-f]{8}`).FindString(stderr)
		if found == "" || flag != "" && found != flag {
			t.Fatalf("it names the flag %q, before %q:\n%s", found, flag, stderr)
		}
		flag = found
	}
	return flag
}
