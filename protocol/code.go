package protocol

import "strconv"

//go:generate go run ./codegen

// Code is the reason in an ERROR or CLOSE. The codes themselves are in
// codes.json and generated from it.
type Code uint16

// Action is what a client must do about a code.
type Action uint8

// The actions.
const (
	ActionRetry     Action = 1 // the same request again, on this connection
	ActionReconnect Action = 2 // a new connection, then what is not acked again
	ActionStop      Action = 3 // the same thing would fail again
)

type codeInfo struct {
	name    string
	action  Action
	meaning string
}

// String gives the name of the code, or its number where it has none here.
func (c Code) String() string {
	if info, ok := codes[c]; ok {
		return info.name
	}
	return strconv.Itoa(int(c))
}

// Action says what a client must do. For a code that a newer server made up it
// goes by the code's range.
func (c Code) Action() Action {
	switch {
	case c < 2000:
		return ActionRetry
	case c < 3000:
		return ActionReconnect
	default:
		return ActionStop
	}
}

// Meaning gives a sentence about the code, or "" where it has none here.
func (c Code) Meaning() string { return codes[c].meaning }
