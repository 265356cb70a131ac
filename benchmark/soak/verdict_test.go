package soak

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// judged gives the verdict over the diaries of two users who write to each other.
func judged(t *testing.T, first, second string) *Verdict {
	t.Helper()
	dir := t.TempDir()
	for user, diary := range map[uint64]string{1: first, 2: second} {
		text := strings.ReplaceAll(strings.TrimSpace(diary), "; ", "\n") + "\n"
		if err := os.WriteFile(diaryFile(dir, user), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := Judge(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What may be: an app dies over a message, just after it, before it was told that one was
// taken, and before it was told of an outcome.
func TestWhatMayBe(t *testing.T) {
	v := judged(t,
		"life 7; offered 1; taken 1; acked 1 1; offered 2; life 8; acked 2 2; acked 2 2; offered 3; life 9; offered 4; taken 4; acked 4 3; caughtup; closed",
		"life 7; begun 1 1 1; life 8; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; life 9; begun 1 2 2; refused 1 2; begun 1 2 2; done 1 2; begun 1 4 3; done 1 4; caughtup; closed")
	if len(v.Faults)+len(v.Missing)+len(v.Waiting)+len(v.Open) > 0 {
		t.Errorf("%+v", v)
	}
	if v.Lives != 6 || v.Taken != 2 || v.Untold != 1 || v.Acked != 3 || v.Delivered != 3 || v.Again != 1 || v.Twice != 2 || v.Late != 1 {
		t.Errorf("%+v", v)
	}
}

func TestWhatMustNotBe(t *testing.T) {
	const sent = "life 7; offered 1; taken 1; acked 1 1; offered 2; taken 2; acked 2 2; caughtup; closed"
	const got = "life 7; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; caughtup; closed"
	if v := judged(t, sent, got); len(v.Faults)+len(v.Missing)+len(v.Waiting)+len(v.Open) > 0 {
		t.Fatalf("what is in order is judged %+v", v)
	}
	for name, c := range map[string]struct {
		sent, got string
		says      string // a fault
		missing   string // or what is still to come
	}{
		"one is lost":                     {sent, "life 7; begun 1 2 2; done 1 2; caughtup; closed", "", "did not get message 1"},
		"one is begun and never done":     {sent, "life 7; begun 1 1 1; done 1 1; begun 1 2 2; life 8; caughtup; closed", "", "did not get message 2"},
		"an outcome is not told":          {"life 7; offered 1; taken 1; offered 2; taken 2; acked 2 2; caughtup; closed", got, "", "what became of message 1"},
		"a message is refused":            {"life 7; offered 1; taken 1; lost 1 no such user; caughtup; closed", "life 7; caughtup; closed", "no such user", "what became"},
		"twice in one life":               {sent, "life 7; begun 1 1 1; done 1 1; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; caughtup; closed", "second time in life 1", ""},
		"twice after another was given":   {sent, "life 7; begun 1 1 1; done 1 1; begun 1 2 2; life 8; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; caughtup; closed", "second time in life 2", ""},
		"twice after an end in order":     {sent, "life 7; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; closed; life 8; begun 1 2 2; done 1 2; caughtup; closed", "second time in life 2", ""},
		"twice, two lives later":          {sent, "life 7; begun 1 1 1; life 8; begun 1 1 1; done 1 1; begun 1 2 2; done 1 2; life 9; begun 1 1 1; done 1 1; caughtup; closed", "second time in life 3", ""},
		"out of order":                    {sent, "life 7; begun 1 2 2; done 1 2; begun 1 1 1; done 1 1; caughtup; closed", "came after seq 2", ""},
		"two seqs for one who receives":   {sent, "life 7; begun 1 1 1; done 1 1; begun 1 2 2; life 8; begun 1 2 3; done 1 2; caughtup; closed", "has seq 2 and seq 3", ""},
		"two seqs for one who sends":      {"life 7; offered 1; taken 1; acked 1 1; life 8; acked 1 5; offered 2; taken 2; acked 2 2; caughtup; closed", got, "at seq 1 and at 5", ""},
		"another seq than the sender's":   {"life 7; offered 1; taken 1; acked 1 5; offered 2; taken 2; acked 2 2; caughtup; closed", got, "acked at seq 5 and received at seq 1", ""},
		"never sent":                      {"life 7; offered 2; taken 2; acked 2 2; caughtup; closed", got, "who never sent it", ""},
		"an outcome of what was not sent": {"life 7; offered 1; taken 1; acked 1 1; offered 2; taken 2; acked 2 2; acked 3 3; caughtup; closed", got, "was never sent", ""},
		"of a stranger":                   {sent, got + "; life 8; begun 3 1 9; done 3 1; caughtup; closed", "who does not write to them", ""},
		"trouble":                         {sent, got + "; trouble the disk is gone", "the disk is gone", ""},
	} {
		v := judged(t, c.sent, c.got)
		if faults := strings.Join(v.Faults, "\n"); c.says == "" && faults != "" || !strings.Contains(faults, c.says) {
			t.Errorf("%s: the faults are %q, want one that says %q", name, faults, c.says)
		}
		if missing := strings.Join(v.Missing, "\n"); c.missing == "" && missing != "" || !strings.Contains(missing, c.missing) {
			t.Errorf("%s: missing is %q, want %q", name, missing, c.missing)
		}
	}
	v := judged(t, "life 7; caughtup; closed; life 8", "life 7; closed")
	if !slices.Equal(v.Waiting, []uint64{1, 2}) || !slices.Equal(v.Open, []uint64{1}) {
		t.Errorf("who has not caught up or ended: %+v", v)
	}
}

// A line that a kill cut off did not happen; anything else that is no line is an error.
func TestDiary(t *testing.T) {
	dir := t.TempDir()
	d, last, err := openDiary(dir, 1)
	if err != nil || last != 0 {
		t.Fatal(last, err)
	}
	for _, err := range []error{d.note(life, "", 7), d.note(offered, "", 41), d.note(lost, "no\nway", 41)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(diaryFile(dir, 2), []byte("life 7\noffered 4"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := readDiary(dir, 1)
	if err != nil || len(lines) != 3 || lines[2].words != "no way" || lines[2].numbers[0] != 41 {
		t.Errorf("%+v, %v", lines, err)
	}
	if _, last, err = openDiary(dir, 1); err != nil || last != 41 {
		t.Errorf("the last id is %d, %v", last, err)
	}
	if lines, err = readDiary(dir, 2); err != nil || len(lines) != 1 {
		t.Errorf("a torn line: %+v, %v", lines, err)
	}
	if d, _, err = openDiary(dir, 2); err != nil || d.note(life, "", 8) != nil {
		t.Error(err)
	}
	if lines, err = readDiary(dir, 2); err != nil || len(lines) != 2 {
		t.Errorf("after a torn line: %+v, %v", lines, err)
	}
	for _, text := range []string{"dance 1\n", "begun 1 2\n", "offered x\n"} {
		if err := os.WriteFile(diaryFile(dir, 3), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readDiary(dir, 3); err == nil {
			t.Errorf("%q is taken for a line", text)
		}
	}
}
