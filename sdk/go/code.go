package gannet

import (
	"strconv"

	"gannet/protocol"
)

// Code is the reason that a server gives. It is an error, so that
// errors.Is(err, CodeBusy) finds it in whatever wraps an [Error]. Servers may
// have codes that are younger than these.
type Code uint16

// The codes of the server, each with its number on the wire. The client itself
// obeys those below 3000: it repeats the request or connects again. An app
// meets them as the reasons of events, and those from 3000 on as errors: the
// same thing would fail again.
const (
	CodeBusy            Code = 1000 // a queue is full, or the disk is behind
	CodeUnavailable     Code = 1001 // the store does not answer
	CodeTooManyRequests Code = 1002 // too many requests of this connection are under way
	CodeRateLimited     Code = 1003 // over a limit of the user or the connection; the text says which
	CodeStorageFull     Code = 1004 // the disk of the server is nearly full

	CodeDraining           Code = 2000 // the server is shutting down
	CodeLoginTimeout       Code = 2001 // no login came in time
	CodeHeartbeatTimeout   Code = 2002 // nothing came for two heartbeat intervals
	CodeNotReading         Code = 2003 // the client does not read what it asked for
	CodeWriteTimeout       Code = 2004 // the client took no byte for too long
	CodeTooManyConnections Code = 2005 // the server holds as many connections as it may
	CodeInternal           Code = 2006 // the server made a mistake; it is in its log
	CodeLoginUnavailable   Code = 2007 // logins cannot be checked at the moment
	CodeAddressLimited     Code = 2008 // this network address connects too often
	CodeOverLimits         Code = 2009 // the client went on over its limits
	CodeTooManySessions    Code = 2010 // the user has as many devices connected as may be

	CodeBadFrame        Code = 3000 // the stream of the client is broken
	CodeFrameTooLarge   Code = 3001 // a frame is over the limit
	CodeHelloExpected   Code = 3002 // something came before the login
	CodeBadVersion      Code = 3003 // the server does not speak this protocol version
	CodeBadToken        Code = 3004 // the token is malformed, wrongly signed, or names no user
	CodeTokenExpired    Code = 3005 // the token is past its time
	CodeReplaced        Code = 3006 // another connection logged in as the same device
	CodeBadDevice       Code = 3007 // the device is 0
	CodeBadProxy        Code = 3008 // a proxy between client and server is set up wrongly
	CodeUnknownType     Code = 3100 // the server does not know what was asked
	CodeBadPayload      Code = 3101 // a frame is shorter than its fields
	CodeBadTarget       Code = 3102 // there is no such conversation, or not for this user
	CodeBodyTooLarge    Code = 3103 // the body is over MaxBody
	CodeBadContent      Code = 3104 // the content is unknown or not for a client to send
	CodeBadClientID     Code = 3105 // the id of the message is 0
	CodeStaleClientID   Code = 3106 // the id is too old for the server to tell a repetition from a new message
	CodeAlreadyLoggedIn Code = 3107 // a second login on the same connection
	CodeBadRequest      Code = 3108 // a value that the protocol does not allow
	CodeTooManyDevices  Code = 3109 // the conversation knows as many devices of the user as it may
)

// String gives the name of the code as the server's documentation has it, or
// its number where it has none here.
func (c Code) String() string { return protocol.Code(c).String() }

// Error gives the name and what it means.
func (c Code) Error() string {
	meaning := protocol.Code(c).Meaning()
	if meaning == "" {
		return "gannet: code " + strconv.Itoa(int(c))
	}
	return "gannet: " + c.String() + ": " + meaning
}

func (c Code) action() protocol.Action { return protocol.Code(c).Action() }
