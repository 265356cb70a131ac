package command

import (
	"github.com/alecthomas/kong"
)

// describeFlag gives what --help says about a flag: its words, its name in the
// environment, and its default where a placeholder stands in the place of it.
func describeFlag(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag != nil && v.Flag.PlaceHolder != "" && v.HasDefault && v.Default != "" {
		text += " Default: " + v.Default + "."
	}
	return text
}
