package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudwego/gopkg/protocol/thrift"
	"github.com/cloudwego/kitex/pkg/remote"
	"github.com/cloudwego/kitex/pkg/remote/codec"

	"gannet/internal/operate"
)

// maxPayload bounds one call and one answer: many times what the roles send, which are
// batches of at most some hundred KiB and pushes of a few records.
const maxPayload = 32 << 20

// errPayload says that bytes of a peer are no call and no answer.
var errPayload = errors.New("rpc: a peer sent what is neither a call nor an answer")

// framedCodec reads and writes framed Thrift and nothing else, where Kitex' own codec
// finds out which of its protocols a peer speaks, most of them without a bound. It
// refuses lengths beyond maxPayload before anything is allocated for them, and lists
// that claim more elements than there are bytes: generated code makes room for as many
// as a list says.
type framedCodec struct {
	remote.Codec
	refused *operate.Trouble
}

func newCodec(refused *operate.Trouble) remote.Codec {
	return &framedCodec{Codec: codec.NewDefaultCodecWithSizeLimit(maxPayload), refused: refused}
}

// Decode reads one message.
func (c *framedCodec) Decode(ctx context.Context, message remote.Message, in remote.ByteBuffer) error {
	head, err := in.Peek(8)
	if err != nil {
		return err // the peer has closed, or is gone
	}
	size := binary.BigEndian.Uint32(head)
	if size < 4 || size > maxPayload || binary.BigEndian.Uint32(head[4:])&codec.MagicMask != codec.ThriftV1Magic {
		return c.refuse(fmt.Errorf("%w: it begins with %x", errPayload, head))
	}
	whole, err := in.Peek(4 + int(size))
	if err != nil {
		return err
	}
	if err := checkPayload(whole[4:]); err != nil {
		return c.refuse(err)
	}
	err = guarded(func() error { return c.Codec.Decode(ctx, message, in) })
	if errors.Is(err, errPayload) {
		return c.refuse(err)
	}
	return err
}

// guarded runs a generated decoder: should one panic at what a peer sent, that is the peer's
// fault and ends its connection alone.
func guarded(decode func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: damaged: %v", errPayload, cause)
		}
	}()
	return decode()
}

func (c *framedCodec) refuse(err error) error {
	c.refused.Count() // Kitex logs it, bounded by kitexLog
	return remote.NewTransError(remote.ProtocolError, err)
}

// maxName bounds the name of a method, and maxDepth how deep structs lie in each other:
// the arguments of a call, or its result, and in it the request or the reply.
const (
	maxName  = 128
	maxDepth = 4
)

// checkPayload walks over a message without keeping anything of it.
func checkPayload(b []byte) error {
	name, _, _, n, err := thrift.Binary.ReadMessageBegin(b)
	if err != nil || len(name) > maxName {
		return fmt.Errorf("%w: no head", errPayload)
	}
	size, ok := structSize(b[n:], maxDepth, shapes[name])
	if !ok || size != len(b)-n {
		return fmt.Errorf("%w: damaged", errPayload)
	}
	return nil
}

// structSize gives how long a struct is. Its lists have elements of at least four bytes,
// so that what a decoder makes room for is at most twice what came, and of the kind that
// the decoder believes.
func structSize(b []byte, depth int, s shape) (size int, ok bool) {
	for depth > 0 {
		kind, number, n, err := thrift.Binary.ReadFieldBegin(b[size:])
		size += n
		if err != nil || kind == thrift.STOP {
			return size, err == nil
		}
		switch kind {
		case thrift.STRUCT:
			n, ok = structSize(b[size:], depth-1, s[number].inner)
		case thrift.LIST:
			n, ok = listSize(b[size:], s[number].element)
		case thrift.BOOL, thrift.BYTE, thrift.I16, thrift.I32, thrift.I64, thrift.DOUBLE, thrift.STRING:
			n, err = thrift.Binary.Skip(b[size:], kind)
			ok = err == nil && n <= len(b)-size
		default: // gannet.thrift has no others, and Skip panics at kinds that there are not
			n, ok = 0, false
		}
		if size += n; !ok {
			return size, false
		}
	}
	return size, false
}

// listSize gives how long a list is, whose elements are believed to be of a kind; 0: of any.
func listSize(b []byte, believed thrift.TType) (size int, ok bool) {
	kind, _, _, err := thrift.Binary.ReadListBegin(b)
	if err != nil || believed != 0 && kind != believed || kind != thrift.I32 && kind != thrift.I64 && kind != thrift.STRING {
		return 0, false
	}
	size, err = thrift.Binary.Skip(b, thrift.LIST)
	return size, err == nil && size <= len(b)
}

// Name is for Kitex' own logs.
func (c *framedCodec) Name() string { return "framed" }
