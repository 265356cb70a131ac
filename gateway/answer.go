package gateway

import "gannet/protocol"

// requestOf reads the request number off a whole encoded frame.
func requestOf(frame []byte) uint32 {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Request
}

// typeOf reads the type off a whole encoded frame, and isSend says whether that is
// SEND.
func typeOf(frame []byte) protocol.Type { return protocol.Type(frame[4]) }

func isSend(frame []byte) bool { return typeOf(frame) == protocol.TypeSend }

// wantsAnswer says whether the sender of a frame waits for an answer.
func wantsAnswer(frame []byte) bool {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Type == protocol.TypeSend || f.Request != 0
}

// answersFrame says whether b is exactly one frame, and of a kind that can answer the frame of a
// client.
func answersFrame(frame, b []byte) bool {
	asked, _, _ := protocol.Split(frame, protocol.MaxFrame)
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	return err == nil && n == len(b) && n > 0 && f.Request == asked.Request &&
		(f.Type == protocol.TypeError || f.Type == asked.Type.Answer())
}
