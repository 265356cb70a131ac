package protocol

import (
	"slices"
	"testing"

	"gannet/protocol/vectors"
)

// This file has what the tests share; newPayload, fieldsOf and encode, which know
// every frame, are generated with the codec.

// wireTypes gives every frame type by name.
func wireTypes(t testing.TB) map[string]Type {
	t.Helper()
	types := make(map[string]Type)
	for _, d := range described {
		types[d.name] = d.kind
	}
	if len(types) != len(described) || len(types) < 19 {
		t.Fatalf("%d frames are described, with %d names; at least 19 were expected", len(described), len(types))
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

// newFields gives an empty value of what fieldsOf gives.
func newFields(t Type) any { return fieldsOf(newPayload(t)) }

// describedFrame is what frames.json says of a frame.
type describedFrame struct {
	kind  Type
	name  string
	from  string // client or server
	lane  LaneClass
	grown bool // some field of its payload may be missing
}

// grown says whether a field of the type's payload may be missing.
func grown(t Type) bool {
	return slices.ContainsFunc(described, func(d describedFrame) bool { return d.kind == t && d.grown })
}
