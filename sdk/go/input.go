package gannet

import (
	"encoding/binary"
	"net"
	"sync"

	"gannet/protocol"
)

const (
	// smallBuffer is what an idle client keeps for reading. With the stack of
	// its goroutine (4 KiB) and the rest of it a client stays within 10 KiB.
	smallBuffer = 2 << 10

	// largeBuffer holds any frame. A client has one only while a frame that the
	// small one cannot hold is under way, or traffic is lasting.
	largeBuffer = 4 + protocol.MaxFrame

	// lastingReads is how many reads in a row must fill the small buffer for
	// traffic to count as lasting: a burst must not leave thousands of clients
	// waiting with large buffers.
	lastingReads = 4
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// input is the read buffer of a connection.
type input struct {
	small []byte
	large *[largeBuffer]byte // nil while small is in use
	data  []byte             // what is read and not handled
	full  int                // reads in a row that would fill the small buffer
}

// reset empties it for a new connection.
func (in *input) reset() {
	if in.small == nil {
		in.small = make([]byte, smallBuffer)
	}
	in.data, in.full = nil, 0
}

// read waits for bytes and adds them to data.
func (in *input) read(conn net.Conn) error {
	buf := in.fit()
	n, err := conn.Read(buf[len(in.data):])
	in.data = buf[:len(in.data)+n]
	if in.full++; len(in.data) < smallBuffer {
		in.full = 0
	}
	if n > 0 {
		return nil // an error comes again with the next read
	}
	return err
}

// fit moves data to the start of the right buffer, and gives the buffer.
func (in *input) fit() []byte {
	if in.full >= lastingReads || len(in.data) >= 4 && 4+int(binary.BigEndian.Uint32(in.data)) > smallBuffer {
		if in.large == nil {
			in.large = largeBuffers.Get().(*[largeBuffer]byte)
		}
		in.data = in.large[:copy(in.large[:], in.data)]
		return in.large[:]
	}
	in.data = in.small[:copy(in.small, in.data)]
	in.release()
	return in.small
}

// release gives the large buffer back; nothing may point into it any more.
func (in *input) release() {
	if in.large != nil {
		largeBuffers.Put(in.large)
		in.large = nil
	}
}
