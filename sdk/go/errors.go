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

// What ends a connection besides an Error of the server and the network's own
// errors.
var (
	errDrained   = errors.New("gannet: closed, and everything is acked")
	errOtherUser = errors.New("gannet: the new token names another user")
	errNoPong    = errors.New("gannet: the server does not answer PING")
	errNoAnswer  = errors.New("gannet: the server left a request unanswered")
)

// failure reads the payload of ERROR or CLOSE; it is an *Error, or says that the
// payload is broken.
func failure(payload []byte) error {
	var f protocol.Failure
	if err := f.Decode(payload); err != nil {
		return err
	}
	return &Error{
		Code:       f.Code,
		RetryAfter: time.Duration(f.RetryAfter) * time.Millisecond,
		Text:       string(f.Text),
	}
}
