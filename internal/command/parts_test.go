package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPartsSayWhatEnds: an error of a stop names the part in a sentence, and the name of every
// part is one that fits it.
func TestPartsSayWhatEnds(t *testing.T) {
	var p parts
	p.began("first", func(context.Context) error { return nil })
	p.began("feeder of ClickHouse", func(context.Context) error { return errors.New("it does not answer") })
	if err := p.stop(); err == nil || err.Error() != "ending the feeder of ClickHouse: it does not answer" {
		t.Errorf("it says %v", err)
	}

	things := strings.Fields("connection connections debug feeder gateway limiter listener lock look-out queue registration server service store transfer upkeep work")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	began := regexp.MustCompile(`\.began\((?:fmt\.Sprintf\()?"([^" ]+)`)
	seen := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range began.FindAllStringSubmatch(string(b), -1) {
			if seen++; !slices.Contains(things, m[1]) {
				t.Errorf("%s: %q does not begin the name of something that is ended", file, m[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d parts were looked at", seen)
	}
}
