package gannet

import (
	"errors"
	"fmt"
	"time"

	"gannet/protocol"
)

// What a client does not do, or could not.
var (
	// ErrClosed says that the client is closed and did not take what it was
	// given: nothing of it happens.
	ErrClosed = errors.New("gannet: the client is closed")

	// ErrKept says that the client closed before a message was acked. The Store
	// keeps the message, the next client of that user with that Store sends it under
	// the same id, and its outcome is told by Handler.Outcome then. What was taken before the
	// first login is sent only by one with the same addresses and user, else it is ErrDropped.
	ErrKept = errors.New("gannet: the client closed before the ack; the message is kept and will be sent")

	// ErrAbandoned says that the client closed before a message was acked, and
	// that no Store keeps it: it may have arrived or not.
	ErrAbandoned = errors.New("gannet: the client closed before the ack; whether the message arrived is unknown")

	// ErrDropped says that a message was taken before the client's first login, and
	// that nobody sends it: the login was that of another user or server than the
	// Store's, or there was none and the client had not said whose it is, see WithUser.
	ErrDropped = errors.New("gannet: the message was dropped: it was taken before a login that did not come or was another's")

	// ErrWindow says that a context ended while as many messages as WithWindow
	// allows were on their way: the message was not taken.
	ErrWindow = errors.New("gannet: the window is full")

	// ErrID says that Draft.ID is above MaxID, or not above all ids that this client
	// has used: the message was not taken.
	ErrID = errors.New("gannet: the id cannot be used")

	// ErrReceiving says that something else receives already: another loop over
	// Messages, or Handler.Message.
	ErrReceiving = errors.New("gannet: messages are being received already")

	// ErrStore says that the Store failed, or does not have the records of a client.
	// A message for which it is the answer was not taken. What it wraps says more.
	ErrStore = errors.New("gannet: store")

	// ErrUncertain says that the Store failed after it was given a message and before
	// the message was on disk. This client does not send it; the next client with that
	// Store sends it if the Store has it after all, and tells its outcome then. An app
	// that repeats it uses the same Draft.ID with that next client: either ErrID says
	// that the store had it, or it was not there.
	ErrUncertain = errors.New("gannet: the store failed; whether the message will be sent is unknown")
)

// Error is what the server answered, or why it ended the connection. It wraps
// its Code.
type Error struct {
	Code       Code
	RetryAfter time.Duration // before which it is no use to try again; 0: the server leaves it to the client
	Text       string        // for a person; may be empty
	Address    string        // with the end of a connection, where the server wants the client to come back to; mostly empty
}

// Error gives the name of the code and the server's words.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.Error()
	}
	return "gannet: " + e.Code.String() + ": " + e.Text
}

// Unwrap gives the Code.
func (e *Error) Unwrap() error { return e.Code }

// Owner is whom a Store belongs to. A zero field is not known yet.
type Owner struct {
	User   uint64
	Device uint64
	Server string // the identity of the server's store, in hex
}

// OwnerError says that a Store, or a client that was logged in already, belongs
// to somebody else than the login at hand. What it remembers would be sent by
// the wrong user, or means nothing on this server.
type OwnerError struct {
	Kept  Owner // whom it belongs to
	Given Owner // who came
}

// Error says what differs.
func (e *OwnerError) Error() string {
	k, g := e.Kept, e.Given
	switch {
	case k.User != 0 && g.User != 0 && k.User != g.User:
		return fmt.Sprintf("gannet: the store or client belongs to user %d, and this is user %d", k.User, g.User)
	case k.Device != 0 && g.Device != 0 && k.Device != g.Device:
		return fmt.Sprintf("gannet: the store belongs to device %d, and this is device %d", k.Device, g.Device)
	}
	return fmt.Sprintf("gannet: the store belongs to the server %s, and this is %s", k.Server, g.Server)
}

// What ends a connection besides an Error of the server and the network's own
// errors.
var (
	errDrained  = errors.New("gannet: closed, and everything is acked")
	errNoPong   = errors.New("gannet: the server does not answer PING")
	errNoAnswer = errors.New("gannet: the server left a request unanswered")
)

// failure reads the payload of ERROR or CLOSE; it is an *Error, or says that the
// payload is broken.
func failure(payload []byte) error {
	var f protocol.Failure
	if err := f.Decode(payload); err != nil {
		return err
	}
	return &Error{
		Code:       Code(f.Code),
		RetryAfter: time.Duration(f.RetryAfter) * time.Millisecond,
		Text:       string(f.Text),
		Address:    string(f.Address),
	}
}
