package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a later version may add, under names, numbers and revisions that no real one
// takes soon: a frame, a page with items, a push that holds a
// message, an enum, and fields that may be missing in a payload, in an item and
// behind the items of a page.
const (
	inventedEnums = `[
		{"name": "ZRole", "type": "u16", "meaning": "says what a member may do", "values": [
			{"number": 1, "name": "reader", "meaning": "reads"},
			{"number": 300, "name": "owner", "meaning": "does everything"}]}]`

	inventedPayloads = `[
		{"name": "zrecall", "since": 102, "meaning": "which message is taken back", "fields": [
			{"name": "target", "type": "target", "meaning": "the conversation"},
			{"name": "seq", "type": "u64", "meaning": "of the message"},
			{"name": "reason", "type": "string", "since": 103, "max": "max_text", "meaning": "at most {max} bytes"},
			{"name": "quiet", "type": "bool", "since": 103, "meaning": "nobody is told"},
			{"name": "heir", "type": "target", "since": 104, "meaning": "where it is said instead"}]},
		{"name": "zmembers", "since": 102, "meaning": "whose members are asked for", "fields": [
			{"name": "target", "type": "target", "meaning": "the group"},
			{"name": "after", "type": "u64", "meaning": "the last user of the page before"}]},
		{"name": "zmembers_page", "since": 102, "meaning": "a page of members", "fields": [
			{"name": "more", "type": "bool", "late": true, "meaning": "ask again"},
			{"name": "count", "type": "u16", "late": true, "meaning": "of members in this page"},
			{"name": "title", "type": "string", "meaning": "of the group"},
			{"name": "members", "type": "items", "item": "zmember", "count": "count", "walk": "all", "meaning": "the members"},
			{"name": "total", "type": "u32", "meaning": "members of the group"},
			{"name": "banned", "type": "u32", "since": 103, "meaning": "users who may not come back"}]},
		{"name": "zmember", "since": 102, "meaning": "a member", "fields": [
			{"name": "user", "type": "u64", "meaning": "who"},
			{"name": "role", "type": "ZRole", "meaning": "{values}"},
			{"name": "nick", "type": "string", "since": 103, "meaning": "in this group"}]},
		{"name": "zpinned", "since": 102, "shared": true, "meaning": "what is pinned", "fields": [
			{"name": "on", "type": "bool", "meaning": "it is pinned"},
			{"name": "message", "type": "bytes", "holds": "message", "meaning": "the message"}]}]`

	inventedFrames = `[
		{"name": "zrecall", "number": "0x3A", "from": "client", "lane": "write", "since": 102, "payload": "zrecall",
			"when": "a message is regretted", "answer": "done", "meaning": "take a message back"},
		{"name": "zmembers", "number": "0x3B", "from": "client", "lane": "read", "since": 102, "payload": "zmembers",
			"when": "a group is shown", "answer": "zmembers_page", "meaning": "who is in a group?"},
		{"name": "zmembers_page", "number": "0xBB", "from": "server", "kind": "answer", "since": 102, "payload": "zmembers_page",
			"meaning": "a page of members"},
		{"name": "zpinned", "number": "0xDA", "from": "server", "kind": "push", "since": 102, "payload": "zpinned",
			"meaning": "a message was pinned"}]`
)

// inventedVectors has one vector for each invented frame, and those of what is
// missing.
const inventedVectors = `[
  {"name": "zrecall", "meaning": "seq 5", "from": "client", "verdict": "ok", "type": "ZRECALL", "request": 1,
   "hex": "00000026 3a 00 00000001 02 000000000000004d 0000000000000005 00000001 61 01 00 0000000000000000",
   "fields": {"target": {"kind": 2, "id": "77"}, "seq": "5", "reason": "61", "quiet": true, "heir": {"kind": 0, "id": "0"}}},
  {"name": "zrecall-old", "meaning": "of revision 102", "from": "client", "verdict": "ok", "type": "ZRECALL", "request": 1,
   "hex": "00000017 3a 00 00000001 02 000000000000004d 0000000000000005", "decode_only": true,
   "fields": {"target": {"kind": 2, "id": "77"}, "seq": "5", "reason": "", "quiet": false, "heir": {"kind": 0, "id": "0"}}},
  {"name": "zrecall-cut", "meaning": "ends within a field that may be missing", "from": "client", "verdict": "error:bad_payload", "type": "ZRECALL",
   "hex": "0000001a 3a 00 00000001 02 000000000000004d 0000000000000005 000000"},
  {"name": "zrecall-kind-0", "meaning": "no conversation", "from": "client", "verdict": "error:bad_target", "type": "ZRECALL", "request": 1,
   "hex": "00000017 3a 00 00000001 00 000000000000004d 0000000000000005"},
  {"name": "zmembers", "meaning": "the first page", "from": "client", "verdict": "ok", "type": "ZMEMBERS", "request": 1,
   "hex": "00000017 3b 00 00000001 02 000000000000004d 0000000000000000",
   "fields": {"target": {"kind": 2, "id": "77"}, "after": "0"}},
  {"name": "zmembers-page", "meaning": "two members", "from": "server", "verdict": "ok", "type": "ZMEMBERSPAGE", "request": 1,
   "hex": "0000003b bb 00 00000001 01 0002 00000001 74 0000000f 0000000000000007 012c 00000001 62 0000000e 0000000000000008 0001 00000000 00000002 00000001",
   "fields": {"more": true, "count": 2, "title": "74", "members": [{"user": "7", "role": 300, "nick": "62"}, {"user": "8", "role": 1, "nick": ""}], "total": 2, "banned": 1}},
  {"name": "zmembers-page-old", "meaning": "of revision 102", "from": "server", "verdict": "ok", "type": "ZMEMBERSPAGE", "request": 1, "decode_only": true,
   "hex": "00000020 bb 00 00000001 01 0001 00000001 74 0000000a 0000000000000007 012c 00000002",
   "fields": {"more": true, "count": 1, "title": "74", "members": [{"user": "7", "role": 300, "nick": ""}], "total": 2, "banned": 0}},
  {"name": "zmembers-page-cut", "meaning": "ends before total", "from": "server", "verdict": "error:bad_payload", "type": "ZMEMBERSPAGE",
   "hex": "0000001c bb 00 00000001 01 0001 00000001 74 0000000a 0000000000000007 012c"},
  {"name": "zpinned", "meaning": "nothing is pinned", "from": "server", "verdict": "ok", "type": "ZPINNED", "request": 0,
   "hex": "0000000b da 00 00000000 00 00000000", "fields": {"on": false, "message": ""}},
  {"name": "zpinned-short", "meaning": "what it holds cannot be decoded", "from": "server", "verdict": "error:bad_payload", "type": "ZPINNED",
   "hex": "0000000c da 00 00000000 00 00000001 01"}
]`

// TestInventedFrames adds frames to a copy of the package: an entry and a vector
// each, and every test of the package holds for them too.
func TestInventedFrames(t *testing.T) {
	dir := t.TempDir()
	protocol := filepath.Join(dir, "protocol")
	if err := os.CopyFS(protocol, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod":                         "module gannet\n\ngo 1.26\n",
		"protocol/frames.json":           invent(t),
		"protocol/vectors/invented.json": inventedVectors,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(protocol)
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", "."}, {"test", "-count=1", "."}} {
		c := exec.Command("go", args...)
		c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	text := string(read(t, "SPEC.md"))
	flowing := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"| ZRECALL | a message is regretted | DONE or ERROR |\n",
		" and ZPINNED come at any time after WELCOME.",
		"\n### `0x3A` ZRECALL\nTake a message back. Since revision 102.\n\n| field | type | meaning |\n|---|---|---|\n| `target` | target | the conversation |\n",
		"| `reason` | string | at most 256 bytes; since revision 103, may be missing |\n",
		"\n#### item of ZMEMBERSPAGE\n| field | type | meaning |\n|---|---|---|\n| `user` | u64 | who |\n| `role` | u16 | 1 reader, 300 owner |\n",
	} {
		if !strings.Contains(text, want) && !strings.Contains(flowing, want) {
			t.Errorf("the specification does not say %q", want)
		}
	}
}

// invent gives frames.json with the invented frames.
func invent(t *testing.T) string {
	t.Helper()
	var file map[string]any
	if err := json.Unmarshal(read(t, "../frames.json"), &file); err != nil {
		t.Fatal(err)
	}
	for member, more := range map[string]string{"enums": inventedEnums, "payloads": inventedPayloads, "frames": inventedFrames} {
		var list []any
		if err := json.Unmarshal([]byte(more), &list); err != nil {
			t.Fatalf("%s: %v", member, err)
		}
		file[member] = append(file[member].([]any), list...)
	}
	file["revision"] = 104
	raw, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
