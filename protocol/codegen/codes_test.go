package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNewCodeIsGenerated(t *testing.T) {
	codes := codeList{Codes: []code{{1007, "client_id_odd", "retry", "the id is odd"}}}
	source := codes.source()
	for _, want := range []string{
		"CodeClientIDOdd Code = 1007 // retry: the id is odd",
		`CodeClientIDOdd: {"client_id_odd", ActionRetry, "the id is odd"},`,
	} {
		if !strings.Contains(source, want) {
			t.Errorf("no %q in\n%s", want, source)
		}
	}
	want := "| number | name | the client must | meaning |\n|---|---|---|---|\n| 1007 | `client_id_odd` | retry | the id is odd |\n"
	if got := codes.spec(); got != want {
		t.Errorf("the table is\n%s", got)
	}
}

func TestBadCodesAreRefused(t *testing.T) {
	good := code{1000, "busy", "retry", "a queue is full"}
	for want, codes := range map[string][]code{
		"there are no codes":      {},
		"unknown action":          {{1000, "busy", "wait", "x"}},
		"not in the range":        {{2000, "busy", "retry", "x"}},
		"1000 follows 1000":       {good, {1000, "other", "retry", "x"}},
		"1000 follows 1001":       {{1001, "other", "retry", "x"}, good},
		"the name is taken":       {good, {1001, "busy", "retry", "x"}},
		"is not words":            {{1000, "very__busy", "retry", "x"}},
		"is not one line":         {{1000, "busy", "retry", ""}},
		"is not one line without": {{1000, "busy", "retry", "a | b"}},
	} {
		raw, err := json.Marshal(map[string]any{"comment": "c", "codes": codes})
		if err != nil {
			t.Fatal(err)
		}
		var l codeList
		if err := parse(raw, &l, l.check); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error is %v, want %q", codes, err, want)
		}
	}
	var l codeList
	if err := parse([]byte(`{"codes": [{"nr": 1000}]}`), &l, l.check); err == nil || !strings.Contains(err.Error(), `unknown field "nr"`) {
		t.Errorf("an unknown member: error is %v", err)
	}
}
