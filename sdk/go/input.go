package gannet

import (
	"encoding/binary"
	"net"
	"sync"

	"gannet/protocol"
)

const (
	// smallBuffer is what an idle client keeps for reading.
	smallBuffer = 4 << 10

	// largeBuffer holds any frame. Only a client with a large frame or much
	// traffic under way has one.
	largeBuffer = 4 + protocol.MaxFrame
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// input is the read buffer of a connection.
type input struct {
	small []byte
	large *[largeBuffer]byte // nil while small is in use
	data  []byte             // what is read and not handled
	full  bool               // the last read filled the buffer
}

// reset empties it for a new connection.
func (in *input) reset() {
	if in.small == nil {
		in.small = make([]byte, smallBuffer)
	}
	in.data, in.full = nil, false
}

// read waits for bytes and adds them to data.
func (in *input) read(conn net.Conn) error {
	buf := in.fit()
	n, err := conn.Read(buf[len(in.data):])
	in.data = buf[:len(in.data)+n]
	in.full = len(in.data) == len(buf)
	if n > 0 {
		return nil // an error comes again with the next read
	}
	return err
}

// fit moves data to the start of a buffer of the right size and gives it: the
// large one when the small one has just proved too small or cannot hold the
// frame that has begun.
func (in *input) fit() []byte {
	want := 0
	if len(in.data) >= 4 {
		want = 4 + int(binary.BigEndian.Uint32(in.data))
	}
	if in.full || want > smallBuffer {
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
