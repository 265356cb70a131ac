package command

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every default of a flag stands in the help of its command, once.
func TestHelpShowsDefaults(t *testing.T) {
	var model cli
	parser, err := newParser(&model)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, node := range parser.Model.Leaves(false) {
		var out strings.Builder
		var c cli
		command, err := newParser(&c, kong.Writers(&out, &out), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = command.Parse(append(strings.Fields(node.Path()), "--help")) // it ends with what is missing, after the help
		help := strings.Join(strings.Fields(out.String()), " ")
		for _, flag := range node.Flags {
			if flag.IsBool() || flag.Default == "" || flag.Hidden {
				continue
			}
			seen++
			says, hidden := "--"+flag.Name+"="+flag.FormatPlaceHolder(), "Default: "+flag.Default
			_, own, found := strings.Cut(help, says)
			own, _, _ = strings.Cut(own, "). --") // before the next flag
			own, _, _ = strings.Cut(own, ". --")
			if !found || strings.Contains(says, flag.Default) == strings.Contains(own, hidden) {
				t.Errorf("%s: %q and %q, one of them with the default, in:\n%s", node.Path(), says, hidden, out.String())
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d flags with defaults were looked at", seen)
	}
}

// A gateway has no store.
func TestHelpOfAGatewayNamesNoStore(t *testing.T) {
	var out strings.Builder
	var c cli
	command, err := newParser(&c, kong.Writers(&out, &out), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = command.Parse([]string{"gateway", "--help"})
	if help := out.String(); !strings.Contains(help, "--max-connections=N") || strings.Contains(help, "store") {
		t.Errorf("it says\n%s", help)
	}
}
