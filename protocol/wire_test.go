package protocol

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gannet/protocol/vectors"
)

// This file has what the tests share: every frame type by name, and decoding
// and encoding of any of them.

// wireTypes reads the frame types out of frame.go, so that no list in a test
// can lack one.
func wireTypes(t testing.TB) map[string]Type {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "frame.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]Type)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Type" {
			number, err := strconv.ParseUint(spec.Values[0].(*ast.BasicLit).Value, 0, 8)
			if err != nil {
				t.Fatal(err)
			}
			types[strings.ToUpper(strings.TrimPrefix(spec.Names[0].Name, "Type"))] = Type(number)
		}
		return true
	})
	if len(types) < 19 {
		t.Fatalf("frame.go has %d frame types, at least 19 were expected", len(types))
	}
	return types
}

func loadVectors(t testing.TB) []vectors.Vector {
	t.Helper()
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// payload is what every payload struct can do.
type payload interface{ Decode(p []byte) error }

// empty is the payload of the types that have none.
type empty struct{}

func (*empty) Decode([]byte) error { return nil }

// newPayload gives a value that decodes the type's payload, nil for a type that
// is not on the wire.
func newPayload(t Type) payload {
	switch t {
	case TypePing, TypePong, TypeDone:
		return new(empty)
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypeSend:
		return new(Send)
	case TypeSendAck:
		return new(SendAck)
	case TypePush:
		return new(Message)
	case TypePushAck, TypeRead, TypeHint:
		return new(Cursor)
	case TypeReceipt:
		return new(Receipt)
	case TypeHole:
		return new(Range)
	case TypeSync:
		return new(Sync)
	case TypeSynced:
		return new(Synced)
	case TypeHistory:
		return new(History)
	case TypeMessages:
		return new(Messages)
	case TypeError, TypeClose:
		return new(Failure)
	}
	return nil
}

// syncedFields and messagesFields are pages with their items in the open.
type syncedFields struct {
	Next          uint64
	More          bool
	After         Target
	Count         uint16
	Conversations []State
}

type messagesFields struct {
	Target            Target
	First, Last, Head uint64
	Count             uint16
	Messages          []Message
}

// fieldsOf gives a decoded payload in a form that reflect.DeepEqual compares and
// encode takes.
func fieldsOf(p payload) any {
	switch p := p.(type) {
	case *Synced:
		return &syncedFields{p.Next, p.More, p.After, p.Count, slices.Collect(p.States())}
	case *Messages:
		return &messagesFields{p.Target, p.First, p.Last, p.Head, p.Count, slices.Collect(p.All())}
	}
	return p
}

// newFields gives an empty value of what fieldsOf gives.
func newFields(t Type) any { return fieldsOf(newPayload(t)) }

// encode appends the frame with these fields.
func encode(dst []byte, t Type, request uint32, fields any) []byte {
	switch m := fields.(type) {
	case *empty:
		return AppendEmpty(dst, t, request)
	case *Hello:
		return m.AppendFrame(dst, request)
	case *Welcome:
		return m.AppendFrame(dst, request)
	case *Send:
		return m.AppendFrame(dst, request)
	case *SendAck:
		return m.AppendFrame(dst, request)
	case *Message:
		return m.AppendFrame(dst)
	case *Cursor:
		switch t {
		case TypePushAck:
			return m.AppendPushAck(dst, request)
		case TypeRead:
			return m.AppendRead(dst, request)
		}
		return m.AppendHint(dst)
	case *Receipt:
		return m.AppendFrame(dst)
	case *Range:
		return m.AppendHole(dst)
	case *Sync:
		return m.AppendFrame(dst, request)
	case *History:
		return m.AppendFrame(dst, request)
	case *Failure:
		if t == TypeClose {
			return m.AppendClose(dst)
		}
		return m.AppendError(dst, request)
	case *syncedFields:
		// The page is begun as a server begins it, knowing only Next.
		start := len(dst)
		dst = Synced{Next: m.Next}.AppendFrame(dst, request)
		for i := range m.Conversations {
			dst = m.Conversations[i].Append(dst)
		}
		return Synced{More: m.More, After: m.After, Count: m.Count}.Finish(dst, start)
	case *messagesFields:
		start := len(dst)
		dst = Messages{Target: m.Target}.AppendFrame(dst, request)
		for i := range m.Messages {
			at := len(dst)
			dst = AppendMessage(dst, nil)
			dst = end(m.Messages[i].AppendPayload(dst), at)
		}
		return Messages{First: m.First, Last: m.Last, Head: m.Head, Count: m.Count}.Finish(dst, start)
	}
	panic("no such fields")
}
