package protocol

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gannet/protocol/vectors"
)

// This file holds SPEC.md to the code: what a reader there relies on is what the
// server does.

func readSpec(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rows gives the cells of the table that follows in text, without its two header
// lines.
func rows(text string) [][]string {
	var table [][]string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			table = append(table, cells)
		case len(table) > 0:
			return table[2:]
		}
	}
	return table[min(2, len(table)):]
}

// TestSpecHasEveryFrame compares the heading and the payload table of every frame
// type with its number and its struct.
func TestSpecHasEveryFrame(t *testing.T) {
	types := wireTypes(t)
	seen := make(map[string]bool)
	frame := regexp.MustCompile("`0x([0-9A-F]{2})` ([A-Z]+)")
	for section := range strings.SplitSeq(readSpec(t), "\n##") {
		heading, body, _ := strings.Cut(section, "\n")
		if heading == "## item of SYNCED" {
			checkFields(t, heading, rows(body), reflect.TypeFor[State]())
		}
		for _, match := range frame.FindAllStringSubmatch(heading, -1) {
			name := match[2]
			number, ok := types[name]
			if !ok || seen[name] {
				t.Errorf("%s is no frame type, or described twice", name)
				continue
			}
			seen[name] = true
			if got, _ := strconv.ParseUint(match[1], 16, 8); Type(got) != number {
				t.Errorf("%s is said to be %#x, is %#x", name, got, number)
			}
			checkFields(t, name, rows(body), reflect.TypeOf(newFields(number)).Elem())
		}
	}
	for name := range types {
		if !seen[name] {
			t.Errorf("%s is not described", name)
		}
	}
}

func checkFields(t *testing.T, name string, table [][]string, payload reflect.Type) {
	t.Helper()
	if len(table) != payload.NumField() {
		t.Errorf("%s has %d fields in the text, %d in the code", name, len(table), payload.NumField())
		return
	}
	for i, row := range table {
		field := payload.Field(i)
		if want := "`" + snake(field.Name) + "`"; row[0] != want {
			t.Errorf("%s: field %d is %s, want %s", name, i, row[0], want)
		}
		var want string
		switch field.Type.Kind() {
		case reflect.Uint8, reflect.Bool:
			want = "u8"
		case reflect.Uint16:
			want = "u16"
		case reflect.Uint32:
			want = "u32"
		case reflect.Uint64:
			want = "u64"
		case reflect.Struct:
			want = "target"
		case reflect.Slice:
			want = "items"
			if field.Type.Elem().Kind() == reflect.Uint8 {
				want = "bytes string"
			}
		}
		if !strings.Contains(want, row[1]) || row[1] == "" {
			t.Errorf("%s: %s is %s, want %s", name, row[0], row[1], want)
		}
	}
}

func TestSpecLimits(t *testing.T) {
	want := map[string]string{
		"max_frame":         strconv.Itoa(MaxFrame),
		"max_hello":         strconv.Itoa(MaxHello),
		"max_body":          strconv.Itoa(MaxBody),
		"max_token":         strconv.Itoa(MaxToken),
		"max_text":          strconv.Itoa(MaxText),
		"max_page":          strconv.Itoa(MaxPage),
		"max_unacked":       strconv.Itoa(MaxUnacked),
		"max_pushes":        strconv.Itoa(MaxPushes),
		"login_timeout":     seconds(LoginTimeout),
		"push_ack_timeout":  seconds(PushAckTimeout),
		"min_heartbeat":     seconds(MinHeartbeat),
		"default_heartbeat": seconds(DefaultHeartbeat),
		"max_heartbeat":     seconds(MaxHeartbeat),
	}
	_, section, _ := strings.Cut(readSpec(t), "\n## Limits\n")
	for _, row := range rows(section) {
		name := strings.Trim(row[0], "`")
		if row[1] != want[name] {
			t.Errorf("%s is %s, want %s", name, row[1], want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + " s" }

// TestSpecExample compares every line of the worked example with its place in its
// vector.
func TestSpecExample(t *testing.T) {
	var want []vectors.Vector
	for _, v := range loadVectors(t) {
		if v.File == "example.json" {
			want = append(want, v)
		}
	}
	_, block, ok := strings.Cut(readSpec(t), "\n```hex\n")
	if !ok {
		t.Fatal("there is no example")
	}
	block, _, _ = strings.Cut(block, "\n```")

	frames := strings.Split(block, "\n\n")
	if len(frames) != len(want) {
		t.Fatalf("there are %d frames, want %d", len(frames), len(want))
	}
	for i, frame := range frames {
		v := want[i]
		lines := strings.Split(frame, "\n")
		if title := "# " + v.Name + "  " + v.From + " → "; !strings.HasPrefix(lines[0], title) {
			t.Errorf("frame %d is %q, want %q", i, lines[0], title)
		}
		rest := v.Bytes
		for _, line := range lines[1:] {
			digits, _, _ := strings.Cut(line, "  ")
			b, err := vectors.Expand(digits)
			if err != nil || len(b) == 0 || !bytes.HasPrefix(rest, b) {
				t.Fatalf("%s: %q, error %v; the vector goes on with %x", v.Name, line, err, rest)
			}
			rest = rest[len(b):]
		}
		if len(rest) > 0 {
			t.Errorf("%s: %x is missing", v.Name, rest)
		}
	}
}

// TestSpecNamesOnlyCodesThatExist looks up every word that the text sets as a
// reason for ERROR or CLOSE.
func TestSpecNamesOnlyCodesThatExist(t *testing.T) {
	found := 0
	for _, match := range regexp.MustCompile("(?:ERROR|CLOSE)\\s`([a-z_]+)`").FindAllStringSubmatch(readSpec(t), -1) {
		found++
		if !isCode(match[1]) {
			t.Errorf("there is no code %s", match[1])
		}
	}
	if found < 15 {
		t.Errorf("only %d codes were found in the text", found)
	}
}
