package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// limitList is limits.json.
type limitList struct {
	Comment string  `json:"comment"`
	Limits  []limit `json:"limits"`
}

type limit struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
	Unit  string `json:"unit"`
	Over  string `json:"over"`
	Why   string `json:"why"`
}

func (l *limitList) check() error {
	if len(l.Limits) == 0 {
		return errors.New("there are no limits")
	}
	names := make(map[string]bool)
	for _, x := range l.Limits {
		switch {
		case !goodName.MatchString(x.Name):
			return fmt.Errorf("the name %q is not words in lower case joined by _", x.Name)
		case names[x.Name]:
			return fmt.Errorf("%s: the name is taken", x.Name)
		case x.Value <= 0:
			return fmt.Errorf("%s: %d is no limit", x.Name, x.Value)
		case x.Unit != "byte" && x.Unit != "second" && x.Unit != "count":
			return fmt.Errorf("%s: unknown unit %q", x.Name, x.Unit)
		case x.Over != "" && !goodText.MatchString(x.Over):
			return fmt.Errorf("%s: over, %q, is not one line without |", x.Name, x.Over)
		case !goodText.MatchString(x.Why):
			return fmt.Errorf("%s: why, %q, is not one line without |", x.Name, x.Why)
		}
		names[x.Name] = true
	}
	return nil
}

// find gives the limit of that name, or nil.
func (l *limitList) find(name string) *limit {
	for i := range l.Limits {
		if l.Limits[i].Name == name {
			return &l.Limits[i]
		}
	}
	return nil
}

func (l *limitList) source() string {
	var b strings.Builder
	b.WriteString("import \"time\"\n\n")
	b.WriteString("// Limits of the wire. Each is part of the specification; a server may tell a\n// client smaller ones in WELCOME, never larger ones.\nconst (\n")
	for i, x := range l.Limits {
		if i > 0 {
			b.WriteString("\n")
		}
		why := x.Why
		for _, other := range l.Limits {
			why = strings.ReplaceAll(why, other.Name, camel(other.Name))
		}
		comment(&b, "\t", camel(x.Name)+" "+why+".")
		value := strconv.Itoa(x.Value)
		if x.Unit == "second" {
			value += " * time.Second"
		}
		fmt.Fprintf(&b, "\t%s = %s\n", camel(x.Name), value)
	}
	b.WriteString(")\n")
	return b.String()
}

func (l *limitList) spec() string {
	var b strings.Builder
	b.WriteString("| limit | value | over it |\n|---|---|---|\n")
	for _, x := range l.Limits {
		value := strconv.Itoa(x.Value)
		if x.Unit == "second" {
			value += " s"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", x.Name, value, x.Over)
	}
	return b.String()
}
