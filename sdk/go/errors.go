package gannet

import (
	"errors"
	"time"

	"gannet/protocol"
)

// ErrWindow says that as many messages as WithWindow allows are on their way:
// one of them must be acked first.
var ErrWindow = errors.New("gannet: the window is full")

// ErrClosed says that the client is closed or being closed.
var ErrClosed = errors.New("gannet: the client is closed")

// Error is what the server answered, or why it ended the connection.
type Error struct {
	Code       protocol.Code
	RetryAfter time.Duration // 0: the server leaves it to the client
	Text       string        // for a person
}

// Error gives the name of the code and the server's words.
func (e *Error) Error() string {
	text := e.Text
	if text == "" {
		text = e.Code.Meaning()
	}
	if text == "" {
		return "gannet: " + e.Code.String()
	}
	return "gannet: " + e.Code.String() + ": " + text
}
