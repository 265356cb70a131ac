package protocol

import (
	"encoding/json"
	"os"
	"testing"
)

// TestCodesFollowTheirData compares what was generated with codes.json, and what
// the range of a code says with what is written there for it.
func TestCodesFollowTheirData(t *testing.T) {
	raw, err := os.ReadFile("codes.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Codes []struct {
			Number                Code
			Name, Action, Meaning string
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Codes) == 0 || len(file.Codes) != len(codes) {
		t.Errorf("codes.json has %d codes, the package %d", len(file.Codes), len(codes))
	}
	actions := map[string]Action{"retry": ActionRetry, "reconnect": ActionReconnect, "stop": ActionStop}
	for _, c := range file.Codes {
		if got := c.Number.String(); got != c.Name {
			t.Errorf("%d is called %s, want %s", c.Number, got, c.Name)
		}
		if got := c.Number.Meaning(); got != c.Meaning {
			t.Errorf("%s means %q, want %q", c.Name, got, c.Meaning)
		}
		if got := c.Number.Action(); got != actions[c.Action] {
			t.Errorf("the range of %s says action %d, want %s", c.Name, got, c.Action)
		}
		if got := codes[c.Number].action; got != actions[c.Action] {
			t.Errorf("%s was generated with action %d, want %s", c.Name, got, c.Action)
		}
	}
}

func TestCodeOfANewerServer(t *testing.T) {
	for code, want := range map[Code]Action{
		1999: ActionRetry,
		2999: ActionReconnect,
		3999: ActionStop,
		4000: ActionStop,
	} {
		if got := code.Action(); got != want {
			t.Errorf("code %d: action %d, want %d", code, got, want)
		}
	}
	unknown := Code(2999)
	if unknown.String() != "2999" || unknown.Meaning() != "" {
		t.Errorf("an unknown code is called %q and means %q", unknown.String(), unknown.Meaning())
	}
}

// TestCodesFitTheirText keeps what servers send as a person's text within the
// limit for it.
func TestCodesFitTheirText(t *testing.T) {
	for code := range codes {
		if n := len(code.Meaning()); n == 0 || n > MaxText {
			t.Errorf("the meaning of %s has %d bytes, 1 to %d are allowed", code, n, MaxText)
		}
	}
}
