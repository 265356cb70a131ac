package main

import (
	"errors"
	"fmt"
	"strings"
)

// codeList is codes.json.
type codeList struct {
	Comment string `json:"comment"`
	Codes   []code `json:"codes"`
}

type code struct {
	Number  int    `json:"number"`
	Name    string `json:"name"`
	Action  string `json:"action"`
	Meaning string `json:"meaning"`
}

// actions gives the Go name and the range of each action.
var actions = map[string]struct {
	name  string
	first int
}{
	"retry":     {"ActionRetry", 1000},
	"reconnect": {"ActionReconnect", 2000},
	"stop":      {"ActionStop", 3000},
}

func (l *codeList) check() error {
	if len(l.Codes) == 0 {
		return errors.New("there are no codes")
	}
	names, last := make(map[string]bool), 0
	for _, c := range l.Codes {
		a, ok := actions[c.Action]
		switch {
		case !goodName.MatchString(c.Name):
			return fmt.Errorf("%d: the name %q is not words in lower case joined by _", c.Number, c.Name)
		case !ok:
			return fmt.Errorf("%s: unknown action %q", c.Name, c.Action)
		case c.Number < a.first || c.Number >= a.first+1000:
			return fmt.Errorf("%s: %d is not in the range of %q", c.Name, c.Number, c.Action)
		case c.Number <= last:
			return fmt.Errorf("%s: %d follows %d", c.Name, c.Number, last)
		case names[c.Name]:
			return fmt.Errorf("%s: the name is taken", c.Name)
		case !goodText.MatchString(c.Meaning):
			return fmt.Errorf("%s: the meaning %q is not one line without |", c.Name, c.Meaning)
		}
		names[c.Name], last = true, c.Number
	}
	return nil
}

func (l *codeList) source() string {
	var b strings.Builder
	b.WriteString("// The codes of ERROR and CLOSE.\nconst (\n")
	for _, c := range l.Codes {
		fmt.Fprintf(&b, "\tCode%s Code = %d // %s: %s\n", camel(c.Name), c.Number, c.Action, c.Meaning)
	}
	b.WriteString(")\n\nvar codes = map[Code]codeInfo{\n")
	for _, c := range l.Codes {
		fmt.Fprintf(&b, "\tCode%s: {%q, %s, %q},\n", camel(c.Name), c.Name, actions[c.Action].name, c.Meaning)
	}
	b.WriteString("}\n")
	return b.String()
}

func (l *codeList) spec() string {
	var b strings.Builder
	b.WriteString("| number | name | the client must | meaning |\n|---|---|---|---|\n")
	for _, c := range l.Codes {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", c.Number, c.Name, c.Action, c.Meaning)
	}
	return b.String()
}
