// Package vectors has the named byte sequences that every implementation of the
// wire is held to, in JSON; README.md beside this file explains the fields. This
// package reads them for tests in Go.
package vectors

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed *.json
var files embed.FS

// Vector is one byte sequence and what its receiver must make of it.
type Vector struct {
	File    string `json:"-"` // the file that it is in
	Name    string `json:"name"`
	Meaning string `json:"meaning"`

	From  string `json:"from"`  // the sender: "client" or "server"
	State string `json:"state"` // of the connection, when the client sends: "new", "waiting", or "" for ready

	Hex   string `json:"hex"` // in the notation that Expand reads
	Bytes []byte `json:"-"`   // Hex expanded

	// Verdict is "ok", "incomplete", "close:<code>" or "error:<code>".
	Verdict string `json:"verdict"`

	// Type names the frame type, "" where there is none. Request, Flags and Fields
	// are what is decoded; Fields is nil where the payload cannot be.
	Type    string          `json:"type"`
	Request uint32          `json:"request"`
	Flags   uint8           `json:"flags"`
	Fields  json.RawMessage `json:"fields"`

	Rest       int  `json:"rest"`        // how many bytes follow the frame
	DecodeOnly bool `json:"decode_only"` // encoding the fields does not give Bytes
}

// Load reads all vectors, file by file.
func Load() ([]Vector, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	var all []Vector
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var vs []Vector
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&vs); err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		for i := range vs {
			v := &vs[i]
			v.File = name
			if v.Bytes, err = Expand(v.Hex); err != nil {
				return nil, fmt.Errorf("vectors: %s: %s: %w", name, v.Name, err)
			}
		}
		all = append(all, vs...)
	}
	return all, nil
}

// Expand reads the hex notation of the vectors: runs of hex digits apart by
// spaces, and xx*n for n times the byte xx.
func Expand(s string) ([]byte, error) {
	var out []byte
	for part := range strings.FieldsSeq(s) {
		digits, count, repeated := strings.Cut(part, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("%q is not hex: %w", part, err)
		}
		if repeated {
			n, err := strconv.Atoi(count)
			if err != nil || n < 0 || len(b) != 1 {
				return nil, fmt.Errorf("%q is not a repeated byte", part)
			}
			b = bytes.Repeat(b, n)
		}
		out = append(out, b...)
	}
	return out, nil
}
