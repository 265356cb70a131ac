//go:build cluster

package history

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
)

func document(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/history.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The document describes each table and each column, in order and with its type, and no
// others.
func TestTheDocumentDescribesTheSchema(t *testing.T) {
	s := openStore(t, optionsAt(t, servicestest.ClickHouse(t)))
	rows, err := s.conn.Query(t.Context(), "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND table NOT LIKE '.%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	schema := make(map[string][]string)
	for rows.Next() {
		var table, name, kind string
		if err := rows.Scan(&table, &name, &kind); err != nil {
			t.Fatal(err)
		}
		schema[table] = append(schema[table], name+" "+kind)
	}
	documented := make(map[string][]string)
	column := regexp.MustCompile(`(?m)^\| ([a-z_]+) \| ([A-Za-z0-9]+) \|`)
	for _, section := range strings.Split(document(t), "\n## ")[1:] {
		title, rest, _ := strings.Cut(section, "\n")
		if !strings.Contains(rest, "| column | type | |") {
			continue
		}
		for _, m := range column.FindAllStringSubmatch(rest, -1) {
			if m[1] != "column" {
				documented[title] = append(documented[title], m[1]+" "+m[2])
			}
		}
	}
	for table, columns := range schema {
		if !slices.Equal(documented[table], columns) {
			t.Errorf("the document has of %s %v, which has %v", table, documented[table], columns)
		}
	}
	if len(documented) != len(schema) || len(schema) < 8 {
		t.Errorf("%d tables are documented, there are %d", len(documented), len(schema))
	}
}

// The queries of the document give what it says, also where rows are there twice.
func TestTheQueriesOfTheDocument(t *testing.T) {
	n := clickHouseNode(t, 1)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	n.now = func() time.Time { return now }
	chat(n)
	n.read(2, 1, 8) // to the head, so its counts are known
	n.batch(1, 1, 2, 5, "nine")
	n.flush()
	again := newBlock()
	for _, fed := range n.queues[0].records {
		again.add(fed)
	}
	if err := n.store.insertRows(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(document(t), -1)
	want := []string{
		"[[1 1 one] [2 1 two] [3 1 three] [4 2 four] [5 2 five] [6 1 six] [7 2 seven] [8 2 eight] [9 1 nine]]",
		"[[1 6] [2 4]]",
		"[[1 1 2 1]]",
	}
	if len(queries) != len(want) {
		t.Fatalf("%d queries, want %d", len(queries), len(want))
	}
	for i, q := range queries {
		sql := strings.NewReplacer("a = 17 AND b = 42", "a = 1 AND b = 2", "user = 42", "user = 2").Replace(q[1])
		rows, err := n.store.conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var got [][]any
		for rows.Next() {
			var line []any
			scan := func(dest ...any) {
				if err := rows.Scan(dest...); err != nil {
					t.Fatal(err)
				}
			}
			switch i {
			case 0:
				var seq, sender, at uint64
				var body string
				scan(&seq, &sender, &at, &body)
				line = []any{seq, sender, body}
			case 1:
				var sender, count uint64
				scan(&sender, &count)
				line = []any{sender, count}
			case 2:
				var kind uint8
				var a, b uint64
				var unread int64
				scan(&kind, &a, &b, &unread)
				line = []any{kind, a, b, unread}
			}
			got = append(got, line)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		if fmt.Sprint(got) != want[i] {
			t.Errorf("query %d gives %v, want %s", i+1, got, want[i])
		}
	}
}
