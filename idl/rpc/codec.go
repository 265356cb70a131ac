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

// maxPayload bounds one call or one answer. It is many times as much as the roles send: batches
// of at most some hundred KiB, and pushes of a few records.
const maxPayload = 32 << 20

// errPayload says that bytes from a peer are neither a call nor an answer.
var errPayload = errors.New("rpc: a peer sent what is neither a call nor an answer")

// framedCodec reads and writes framed Thrift only. Kitex's own codec detects which of several
// protocols a peer speaks, and most of them have no size limit. framedCodec refuses lengths
// beyond maxPayload before it allocates anything, and lists that claim more elements than there
// are bytes, because generated code allocates as many elements as a list claims.
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

// guarded runs a generated decoder. If the decoder panics because of a peer's bytes, only that
// peer's connection ends.
func guarded(decode func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: damaged: %v", errPayload, cause)
		}
	}()
	return decode()
}

func (c *framedCodec) refuse(err error) error {
	c.refused.Count() // Kitex logs the error, and kitexLog bounds how often
	return remote.NewTransError(remote.ProtocolError, err)
}

// maxName bounds the name of a method. maxDepth bounds how deep structs are nested: the arguments
// or the result of a call, and in it the request or the reply.
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

// structSize gives the length of an encoded struct. It accepts only lists whose elements are of
// the type that the decoder takes for granted, with at least four bytes each. So a decoder
// allocates at most twice as many bytes as came.
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

// listSize gives the length of an encoded list. believed is the type that its elements must have;
// 0: any.
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
