package main

import (
	"strings"
	"testing"
)

func TestNewLimitIsGenerated(t *testing.T) {
	limits := limitList{Limits: []limit{
		{"max_groups", 500, "count", "ERROR `busy`", "bounds the groups of a user beside max_wait"},
		{"max_wait", 7, "second", "", "is how long one waits"},
	}}
	if err := limits.check(); err != nil {
		t.Fatal(err)
	}
	source := limits.source()
	for _, want := range []string{
		"// MaxGroups bounds the groups of a user beside MaxWait.\n\tMaxGroups = 500\n",
		"// MaxWait is how long one waits.\n\tMaxWait = 7 * time.Second\n",
	} {
		if !strings.Contains(source, want) {
			t.Errorf("no %q in\n%s", want, source)
		}
	}
	want := "| limit | value | over it |\n|---|---|---|\n| `max_groups` | 500 | ERROR `busy` |\n| `max_wait` | 7 s |  |\n"
	if got := limits.spec(); got != want {
		t.Errorf("the table is\n%s", got)
	}
}

func TestBadLimitsAreRefused(t *testing.T) {
	good := limit{"max_body", 1, "byte", "is cut", "bounds a body"}
	for want, change := range map[string]func(*limit){
		"is not words":     func(l *limit) { l.Name = "MaxBody" },
		"is no limit":      func(l *limit) { l.Value = 0 },
		"unknown unit":     func(l *limit) { l.Unit = "parsec" },
		"over, \"a|b\"":    func(l *limit) { l.Over = "a|b" },
		"why, \"\", is no": func(l *limit) { l.Why = "" },
	} {
		bad := good
		change(&bad)
		l := limitList{Limits: []limit{bad}}
		if err := l.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, want %q", bad, err, want)
		}
	}
	l := limitList{Limits: []limit{good, good}}
	if err := l.check(); err == nil || !strings.Contains(err.Error(), "the name is taken") {
		t.Errorf("a limit twice: error is %v", err)
	}
	if err := (&limitList{}).check(); err == nil || !strings.Contains(err.Error(), "there are no limits") {
		t.Errorf("no limits: error is %v", err)
	}
}
