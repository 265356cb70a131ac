package vectors

import (
	"bytes"
	"testing"
)

func TestExpand(t *testing.T) {
	for s, want := range map[string][]byte{
		"":              {},
		"  ":            {},
		"00ff":          {0, 0xff},
		"0 1":           nil,
		"00 61*3 Ff":    {0, 'a', 'a', 'a', 0xff},
		"61*0":          {},
		"0x00":          nil,
		"6162*3":        nil,
		"61*-1":         nil,
		"61*":           nil,
		"*3":            nil,
		"61 * 3":        nil,
		"0001\n02\t 03": {0, 1, 2, 3},
	} {
		got, err := Expand(s)
		if (err != nil) != (want == nil) || !bytes.Equal(got, want) {
			t.Errorf("%q is %x, error %v, want %x", s, got, err, want)
		}
	}
}

func TestLoadReadsEveryFile(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, v := range all {
		count[v.File]++
	}
	for _, file := range []string{"example.json", "framing.json", "session.json", "send.json", "push.json", "pages.json"} {
		if count[file] == 0 {
			t.Errorf("no vector of %s", file)
		}
	}
}
