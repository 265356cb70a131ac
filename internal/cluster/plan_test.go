package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/cluster"
)

func plan(t *testing.T, queues int, brokers ...string) *cluster.Plan {
	t.Helper()
	p, err := cluster.New("test", queues, brokers)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQueuesAreDealtOut(t *testing.T) {
	p := plan(t, 5, "broker-b", "broker-a")
	if q := p.Queues(0); len(q) != 10 || q[0] != (chain.Queue{Class: chain.Chat}) || q[9] != (chain.Queue{Class: chain.System, Number: 4}) {
		t.Errorf("queues %v", q)
	}
	if q := p.Queues(chain.System); len(q) != 5 || q[0].Class != chain.System {
		t.Errorf("system queues %v", q)
	}
	if at := p.Place(chain.Queue{Class: chain.Chat, Number: 3}); at != (cluster.Place{Topic: "test_chat", Broker: "broker-b", Queue: 1}) {
		t.Errorf("chat queue 3 lies at %+v", at)
	}
	if at := p.Place(chain.Queue{Class: chain.System, Number: 4}); at != (cluster.Place{Topic: "test_system", Broker: "broker-a", Queue: 2}) {
		t.Errorf("system queue 4 lies at %+v", at)
	}
	topics := p.Topics()
	if len(topics) != 4 || topics[cluster.Topic{Name: "test_chat", Broker: "broker-a"}] != 3 || topics[cluster.Topic{Name: "test_chat", Broker: "broker-b"}] != 2 {
		t.Errorf("topics %v", topics)
	}
	if other := plan(t, 5, "broker-a", "broker-b"); bytes.Equal(other.Server, p.Server) || other.Place(chain.Queue{Class: chain.Chat, Number: 3}) != p.Place(chain.Queue{Class: chain.Chat, Number: 3}) {
		t.Error("two clusters are one, or the order of the brokers counts")
	}
}

func TestPlanComesBack(t *testing.T) {
	p := plan(t, 3, "a")
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cluster.Decode(b); err != nil || !got.Equal(p) {
		t.Fatalf("came back as %+v, %v", got, err)
	}
	for from, to := range map[string]string{
		`"version":1`: `"version":2`, `"name":"test"`: `"name":"Test"`, `"queue":1`: `"queue":0`, `"queue":2`: `"queue":-1`,
		`"broker":"a"`: `"broker":""`, `"server":"`: `"server":"AAAA`, `{`: `[`,
	} {
		changed := strings.Replace(string(b), from, to, 1)
		if changed == string(b) {
			t.Fatalf("no %s in %s", from, b)
		}
		if _, err := cluster.Decode([]byte(changed)); err == nil {
			t.Errorf("%s for %s is taken", to, from)
		}
	}
	if _, err := cluster.New("test", 257, []string{"a"}); err == nil {
		t.Error("257 queues are taken")
	}
	if _, err := cluster.New("test", 0, []string{"a"}); err == nil {
		t.Error("a cluster without queues is taken")
	}
	if _, err := cluster.New("test", 4, nil); err == nil {
		t.Error("a cluster without brokers is taken")
	}
}

// memory is a Copy that can be emptied and can be away.
type memory struct {
	plan *cluster.Plan
	away error
}

func (m *memory) Load(context.Context) (*cluster.Plan, error) { return m.plan, m.away }

func (m *memory) Save(_ context.Context, plan *cluster.Plan) (*cluster.Plan, error) {
	if m.plan == nil && m.away == nil {
		m.plan = plan
	}
	return m.plan, m.away
}

func TestAgree(t *testing.T) {
	ours, others, away := plan(t, 2, "a"), plan(t, 2, "a"), errors.New("away")
	made := func() (*cluster.Plan, error) { return ours, nil }
	for _, c := range []struct {
		name      string
		near, far memory
		make      func() (*cluster.Plan, error)
		err       error
		nearAfter *cluster.Plan
		farAfter  *cluster.Plan
	}{
		{"the first node makes it", memory{}, memory{}, made, nil, ours, ours},
		{"and others do not", memory{}, memory{}, nil, cluster.ErrNone, nil, nil},
		{"both have it", memory{plan: ours}, memory{plan: ours}, made, nil, ours, ours},
		{"Redis was emptied", memory{}, memory{plan: ours}, made, nil, ours, ours},
		{"ClickHouse was emptied", memory{plan: ours}, memory{}, nil, nil, ours, ours},
		{"ClickHouse is away", memory{plan: ours}, memory{away: away}, made, nil, ours, nil},
		{"Redis was emptied and ClickHouse is away", memory{}, memory{away: away}, made, away, nil, nil},
		{"Redis is away", memory{away: away}, memory{plan: ours}, made, away, nil, ours},
		{"two clusters of one name", memory{plan: others}, memory{plan: ours}, made, cluster.ErrDiffer, others, ours},
	} {
		got, err := cluster.Agree(t.Context(), &c.near, &c.far, c.make)
		if !errors.Is(err, c.err) || (err == nil) != (got == ours) {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
		if c.near.plan != c.nearAfter || c.far.plan != c.farAfter {
			t.Errorf("%s: afterwards there are %v and %v", c.name, c.near.plan, c.far.plan)
		}
	}
}
