package protocol

import (
	"bytes"
	"fmt"
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
// server does. Its tables of frames, limits and codes are generated.

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

// TestSpecHasEveryFrame looks for the heading of every frame, and compares the table
// of its payload, or of the one that the text refers to, with the struct.
func TestSpecHasEveryFrame(t *testing.T) {
	types := wireTypes(t)
	tables := make(map[string][][]string)
	frame := regexp.MustCompile("`0x([0-9A-F]{2})` ([A-Z]+)")
	reference := regexp.MustCompile(`The payload\sis\sthat\sof\s([A-Z]+)\.`)
	for section := range strings.SplitSeq(readSpec(t), "\n##") {
		heading, body, _ := strings.Cut(section, "\n")
		if heading == "## item of SYNCED" {
			checkFields(t, heading, rows(body), reflect.TypeFor[State]())
		}
		for _, match := range frame.FindAllStringSubmatch(heading, -1) {
			name := match[2]
			number, ok := types[name]
			if _, seen := tables[name]; !ok || seen {
				t.Errorf("%s is no frame type, or described twice", name)
				continue
			}
			if got, _ := strconv.ParseUint(match[1], 16, 8); Type(got) != number {
				t.Errorf("%s is said to be %#x, is %#x", name, got, uint8(number))
			}
			tables[name] = rows(body)
			if to := reference.FindStringSubmatch(body); to != nil {
				tables[name] = tables[to[1]]
			}
			checkFields(t, name, tables[name], reflect.TypeOf(newFields(number)).Elem())
		}
	}
	for name := range types {
		if _, seen := tables[name]; !seen {
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
		if row[2] == "" || strings.ContainsAny(row[2], "{}") {
			t.Errorf("%s: %s means %q", name, row[0], row[2])
		}
	}
}

// TestSpecNumbers compares what the text that nobody generates says of limits and
// kinds with the constants.
func TestSpecNumbers(t *testing.T) {
	spec := strings.Join(strings.Fields(readSpec(t)), " ")
	for _, want := range []string{
		fmt.Sprintf("The gannet wire, version %d", Version),
		fmt.Sprintf("of all that follows: %d + payload", frameFixed),
		fmt.Sprintf("| length below %d | CLOSE `bad_frame` |", frameFixed),
		fmt.Sprintf("length over %d (%d for the first frame)", MaxFrame, MaxHello),
		seconds(LoginTimeout) + ": login_timeout",
		fmt.Sprintf("(0: the server's choice, %s), the server takes it within %s to %s",
			seconds(DefaultHeartbeat), seconds(MinHeartbeat), seconds(MaxHeartbeat)),
		"within " + seconds(PushAckTimeout) + " of a PUSH",
		fmt.Sprintf("not acked in %s, at most %d times in all", seconds(PushAckTimeout), MaxPushes),
		fmt.Sprintf("| %d none | 0 |", KindNone),
		fmt.Sprintf("| %d direct | the other user, or oneself | the two |", KindDirect),
		fmt.Sprintf("| %d group | the group | members |", KindGroup),
		fmt.Sprintf("| %d system | the user whom the server writes to | the server |", KindSystem),
		fmt.Sprintf("| %d broadcast | 0 | the server |", KindBroadcast),
		fmt.Sprintf("system messages (kinds %d and %d)", KindSystem, KindBroadcast),
	} {
		if !strings.Contains(spec, want) {
			t.Errorf("the text does not say %q", want)
		}
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
