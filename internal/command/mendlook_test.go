//go:build cluster

package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gannet/internal/chain"
)

// However many marks of however many queues are lost, the broker has lagTime once to show that
// they are not, and how far that is is said meanwhile.
func TestMendWaitsOnceForAll(t *testing.T) {
	m, broker, writers, said, _ := mended(t) // views in Redis, marks in ClickHouse
	m.history, m.away = ownHistory(t), nil
	queues := []chain.Queue{{Class: chain.Chat, Number: 0}, {Class: chain.Chat, Number: 1}}
	for number, queue := range queues {
		var h chain.Head
		if _, err := h.Decode(broker.All(queue)[8]); err != nil {
			t.Fatal(err)
		}
		mark := chain.Mark{Offset: 8, Writer: h.Writer, Number: h.Number}
		if err := m.history.SetMark(t.Context(), queue, mark, mark); err != nil {
			t.Fatal(err)
		}
		if state(t, writers[number]).Mark == mark {
			t.Fatal("view and history have the same mark")
		}
		broker.Cut(queue, 0)
	}
	begun := time.Now()
	if err := m.lookAtAll(t.Context(), queues); err != nil || len(m.losses) != 2 {
		t.Fatal(len(m.losses), err)
	}
	if took := time.Since(begun); took > 2*lagTime-time.Second {
		t.Errorf("it looks for %v", took)
	}
	if m.losses[0].queue != queues[0] || m.losses[1].queue != queues[1] {
		t.Errorf("the losses are of %v and %v", m.losses[0].queue, m.losses[1].queue)
	}
	if got := said.String(); !strings.Contains(got, "looking: 0 of 2 queues are done; chat queue 0 waits for the broker to give what it acknowledged; chat queue 1 waits") {
		t.Errorf("it says %q", got)
	}
	if err := m.giveUp(t.Context()); !errors.Is(err, errGivenUp) {
		t.Errorf("it ends with %v", err)
	}
}
