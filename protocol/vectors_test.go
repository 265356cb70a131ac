package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"gannet/protocol/vectors"
)

// TestVectors holds the codec, and a receiver that does just what SPEC.md says,
// to every vector.
func TestVectors(t *testing.T) {
	types := wireTypes(t)
	for _, v := range loadVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			verdict, f, n := receive(v)
			if verdict != v.Verdict {
				t.Fatalf("verdict is %s, want %s", verdict, v.Verdict)
			}
			if v.Type != "" && len(v.Bytes) > 4 && Type(v.Bytes[4]) != types[v.Type] {
				t.Errorf("type is %s, want %s", Type(v.Bytes[4]), v.Type)
			}
			if v.Fields == nil {
				return
			}
			if f.Request != v.Request || f.Flags != v.Flags {
				t.Errorf("request and flags are %d, %d, want %d, %d", f.Request, f.Flags, v.Request, v.Flags)
			}
			if rest := len(v.Bytes) - n; rest != v.Rest {
				t.Errorf("%d bytes are left, want %d", rest, v.Rest)
			}
			p := newPayload(f.Type)
			if err := p.Decode(f.Payload); err != nil {
				t.Fatal(err)
			}
			want := newFields(f.Type)
			fill(t, reflect.ValueOf(want).Elem(), parse(t, v.Fields), v.Name)
			if got := fieldsOf(p); !reflect.DeepEqual(got, want) {
				t.Fatalf("decoded\n%+v, want\n%+v", got, want)
			}
			got := encodeBehind(t, f.Type, v.Request, want)
			if same := bytes.Equal(got, v.Bytes); same == v.DecodeOnly {
				t.Errorf("encoding the fields gives\n%.400x, decode_only is %v for\n%.400x", got, v.DecodeOnly, v.Bytes)
			}
			// What was decoded owns nothing, so encoding it again gives the frame
			// without what later versions added.
			if again := encode(nil, f.Type, v.Request, fieldsOf(p)); !bytes.Equal(got, again) {
				t.Errorf("encoding what was decoded gives\n%.400x, want\n%.400x", again, got)
			}
		})
	}
}

// encodeBehind encodes the frame behind another one, into a buffer that was used
// before.
func encodeBehind(t *testing.T, kind Type, request uint32, fields any) []byte {
	t.Helper()
	used := bytes.Repeat([]byte{0xee}, 2*MaxFrame)
	before := AppendEmpty(used[:0], TypeDone, 7)
	first := bytes.Clone(before)
	got := encode(before, kind, request, fields)
	if !bytes.HasPrefix(got, first) {
		t.Errorf("the frame before became %x", got[:len(first)])
	}
	return got[len(first):]
}

// TestReusedPayloads decodes every vector of a type into the same value, one after
// the other: nothing of an earlier one may show.
func TestReusedPayloads(t *testing.T) {
	reused := make(map[Type]payload)
	for _, v := range loadVectors(t) {
		f, n, err := Split(v.Bytes, MaxFrame)
		fresh := newPayload(f.Type)
		if err != nil || n == 0 || fresh == nil {
			continue
		}
		p := reused[f.Type]
		if p == nil {
			p = newPayload(f.Type)
			reused[f.Type] = p
		}
		if got, want := p.Decode(f.Payload), fresh.Decode(f.Payload); got != want || !reflect.DeepEqual(fieldsOf(p), fieldsOf(fresh)) {
			t.Errorf("%s: error %v, decoded\n%+v, want %v,\n%+v", v.Name, got, p, want, fresh)
		}
	}
}

// TestTruncatedPayloads cuts the payload of every good vector at every byte up to
// the end of its last known field: each time it must be refused, unless a field that
// may be missing begins there.
func TestTruncatedPayloads(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Verdict != "ok" || v.DecodeOnly {
			continue
		}
		f, _, err := Split(v.Bytes, MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		step := 1 + len(f.Payload)/1000 // bodies of 64 KiB are cut at a thousand places
		for n := 0; n < len(f.Payload); n += step {
			p := newPayload(f.Type)
			if err := p.Decode(f.Payload[:n]); err != ErrPayload && !(err == nil && grown(f.Type)) {
				t.Fatalf("%s: the first %d of %d bytes: error is %v", v.Name, n, len(f.Payload), err)
			} else if err != nil && !reflect.DeepEqual(fieldsOf(p), newFields(f.Type)) {
				t.Fatalf("%s: the first %d of %d bytes are refused, but leave %+v", v.Name, n, len(f.Payload), p)
			}
		}
	}
}

// TestGrownPayloads puts what a later version may add behind every good payload: it
// says the same as without.
func TestGrownPayloads(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Verdict != "ok" || v.DecodeOnly {
			continue
		}
		f, _, err := Split(v.Bytes, MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		want := newPayload(f.Type)
		if err := want.Decode(f.Payload); err != nil {
			t.Fatal(err)
		}
		for _, more := range [][]byte{{0}, {0xff, 0xff, 0xff}, bytes.Repeat([]byte{7}, 40)} {
			got := newPayload(f.Type)
			err := got.Decode(append(bytes.Clone(f.Payload), more...))
			if err != nil || !reflect.DeepEqual(fieldsOf(got), fieldsOf(want)) {
				t.Errorf("%s with %x behind it: error %v, decoded\n%+v, want\n%+v", v.Name, more, err, got, want)
			}
		}
	}
}

// TestTruncatedFrames gives every prefix of every good frame to Split: none is a
// frame yet, and none is wrong.
func TestTruncatedFrames(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Verdict != "ok" {
			continue
		}
		whole := len(v.Bytes) - v.Rest
		for n := 0; n < whole; n += 1 + whole/1000 {
			if _, taken, err := Split(v.Bytes[:n], MaxFrame); taken != 0 || err != nil {
				t.Fatalf("%s: the first %d of %d bytes: took %d, error is %v", v.Name, n, whole, taken, err)
			}
		}
	}
}

// TestVectorsAreEnough keeps the set complete: whoever adds a frame adds a vector
// for it, from which the tests make malformed and grown ones.
func TestVectorsAreEnough(t *testing.T) {
	all := loadVectors(t)
	if len(all) < 200 {
		t.Errorf("there are %d vectors, at least 200 were expected", len(all))
	}
	names := make(map[string]string)
	good, whole := make(map[string]bool), make(map[string]bool)
	for _, v := range all {
		if other, ok := names[v.Name]; ok {
			t.Errorf("%s is in %s and in %s", v.Name, other, v.File)
		}
		names[v.Name] = v.File
		if v.Meaning == "" {
			t.Errorf("%s has no meaning", v.Name)
		}
		if v.From != "client" && v.From != "server" {
			t.Errorf("%s is from %q", v.Name, v.From)
		}
		if _, code, ok := strings.Cut(v.Verdict, ":"); ok && !isCode(code) {
			t.Errorf("%s: there is no code %s", v.Name, code)
		}
		if v.Verdict == "ok" {
			good[v.Type] = true
			whole[v.Type] = whole[v.Type] || !v.DecodeOnly && v.Fields != nil
		}
	}
	for name := range wireTypes(t) {
		if !good[name] {
			t.Errorf("no valid vector for %s", name)
		}
		if !whole[name] {
			t.Errorf("no vector for %s from which others can be made", name)
		}
	}
}

func isCode(name string) bool {
	for _, info := range codes {
		if info.name == name {
			return true
		}
	}
	return false
}

// receive judges a vector as the side that reads it: framing first, then the
// state of the connection, then the payload, then its values.
func receive(v vectors.Vector) (verdict string, f Frame, n int) {
	limit := MaxFrame
	if v.State == "new" {
		limit = MaxHello
	}
	f, n, err := Split(v.Bytes, limit)
	switch {
	case err == ErrFrameTooShort:
		return "close:bad_frame", f, n
	case err == ErrFrameTooLarge:
		return "close:frame_too_large", f, n
	case n == 0:
		return "incomplete", f, n
	}
	p := newPayload(f.Type)
	known := p != nil && (f.Type < 0x80) == (v.From == "client")
	switch {
	case v.State == "waiting", v.State == "new" && f.Type != TypeHello:
		return "close:hello_expected", f, n
	case !known:
		return "error:unknown_type", f, n
	case v.State == "new" && p.Decode(f.Payload) != nil:
		return "close:bad_frame", f, n
	case v.State == "new":
		return refused("close:", p), f, n
	case f.Type == TypeHello:
		return "error:already_logged_in", f, n
	case p.Decode(f.Payload) != nil:
		return "error:bad_payload", f, n
	case v.From == "server":
		return "ok", f, n
	}
	return refused("error:", p), f, n
}

// refused applies the rules of SPEC.md for single values of a client's frame.
func refused(how string, p payload) string {
	code := Code(0)
	conversation := func(t Target) {
		if t.Kind == KindNone || t.Kind > KindBroadcast || t.Kind == KindDirect && t.ID == 0 {
			code = CodeBadTarget
		}
	}
	if target := reflect.ValueOf(p).Elem().FieldByName("Target"); target.IsValid() {
		conversation(target.Interface().(Target))
	}
	switch m := p.(type) {
	case *Hello:
		switch {
		case m.Version != Version:
			code = CodeBadVersion
		case m.Device == 0:
			code = CodeBadDevice
		case len(m.Token) > MaxToken:
			code = CodeBadToken
		}
	case *Send:
		switch {
		case m.Target.Kind > KindGroup:
			code = CodeBadTarget
		case m.ClientID == 0:
			code = CodeBadClientID
		case m.Content < ContentText || m.Content > ContentCustom:
			code = CodeBadContent
		case len(m.Body) > MaxBody:
			code = CodeBodyTooLarge
		}
	case *History:
		if m.Direction > Backward {
			code = CodeBadRequest
		}
	}
	if code == 0 {
		return "ok"
	}
	return how + code.String()
}

func parse(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// fill sets v from the JSON of a vector, by the rules of vectors/README.md. A
// member too few or too many is an error.
func fill(t *testing.T, v reflect.Value, from any, path string) {
	t.Helper()
	switch {
	case v.Kind() == reflect.Struct:
		members, ok := from.(map[string]any)
		if !ok || len(members) != v.NumField() {
			t.Fatalf("%s has %d members, want %d", path, len(members), v.NumField())
		}
		for i := range v.NumField() {
			name := snake(v.Type().Field(i).Name)
			member, ok := members[name]
			if !ok {
				t.Fatalf("%s has no %s", path, name)
			}
			fill(t, v.Field(i), member, path+"."+name)
		}
	case v.Kind() == reflect.Bool:
		v.SetBool(from.(bool))
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		b, err := vectors.Expand(from.(string))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v.SetBytes(append([]byte{}, b...))
	case v.Kind() == reflect.Slice:
		for i, item := range from.([]any) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(t, e, item, path+"["+strconv.Itoa(i)+"]")
			v.Set(reflect.Append(v, e))
		}
	default:
		if _, quoted := from.(string); quoted != (v.Kind() == reflect.Uint64) {
			t.Fatalf("%s: u64 are strings and nothing else is", path)
		}
		n, err := strconv.ParseUint(fmt.Sprint(from), 10, v.Type().Bits())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v.SetUint(n)
	}
}

// snake gives the name that SPEC.md has for a field: PeerRead is peer_read.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
